"""`tocsin bench lock`, short: everything opens that is told to, gas stops every work, and every part is measured."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from tocsin.lab.lock_bench import LockResult

TAPS, APPROVALS, BREACHES = 2, 2, 3


def test_the_bench_opens_a_lock_at_every_tap_stops_work_at_every_breach_and_measures_each() -> None:
    argv = [
        "bench", "lock", "--taps", str(TAPS), "--approvals", str(APPROVALS), "--breaches", str(BREACHES),
        "--rounds", "50", "--json",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tocsin.cli", *argv], capture_output=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    found = msgspec.json.decode(done.stdout, type=LockResult)
    assert (found.tap.taps, found.tap.wrong) == (TAPS, 0)
    assert found.tap.approvals == APPROVALS
    breach = found.breach
    assert (breach.breaches, breach.missing, breach.wrong) == (BREACHES, 0, 0)
    for delay in (
        found.tap.tap_to_open_ms, found.tap.challenge_ms, found.tap.unlock_ms, found.tap.approval_to_open_ms,
        breach.suspended_ms, breach.siren_ms, breach.told_ms,
    ):  # fmt: skip
        assert delay.p50
        assert delay.p99
    assert found.verify.grant_bytes <= 160
    assert found.verify.ratio_to_ed25519 > 0
    assert found.core
    assert found.core.profile_b_ns > found.core.profile_a_ns > 0
