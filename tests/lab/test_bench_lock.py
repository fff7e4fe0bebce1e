"""`tocsin bench lock`, short: everything opens that is told to, and every part is measured."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from tocsin.lab.lock_bench import LockResult

TAPS = 2


def test_the_bench_opens_a_lock_at_every_tap_and_measures_each_part() -> None:
    argv = ["bench", "lock", "--taps", str(TAPS), "--rounds", "50", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "tocsin.cli", *argv], capture_output=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    found = msgspec.json.decode(done.stdout, type=LockResult)
    assert (found.tap.taps, found.tap.wrong) == (TAPS, 0)
    for delay in (found.tap.tap_to_open_ms, found.tap.challenge_ms, found.tap.unlock_ms):
        assert delay.p50
        assert delay.p99
    assert found.verify.grant_bytes <= 160
    assert found.verify.ratio_to_ed25519 > 0
