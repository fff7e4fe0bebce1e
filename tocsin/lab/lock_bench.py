"""`tocsin bench lock`: what a grant costs to verify, and how long a lock takes to open from the tap."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.broker import Kind
from tocsin.lab.lock_taps import TapFigure, measure_taps
from tocsin.lab.lock_verify import VerifyFigure, measure_verify


class LockResult(msgspec.Struct, frozen=True):
    """What `tocsin bench lock --json` prints."""

    verify: VerifyFigure
    tap: TapFigure
    settings: dict[str, Any]


def run_lock(*, taps: int, rounds: int, broker: Kind, say: Callable[[str], None]) -> LockResult:
    """One part after the other.

    Raises:
        LabError: a part did not start, or a lock did not do what it was told.
    """
    say(f"verifying a grant {rounds:,} times")
    verify = measure_verify(rounds)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        say(f"{taps} openings through a gateway")
        tap = measure_taps(Path(name) / "taps", taps, broker)
    return LockResult(
        verify,
        tap,
        {
            "profile": "B (Ed25519)", "bluetooth": "unmodified bleak, BlueZ's D-Bus interface without a radio",
            "outbox_fsync": "batch", "broker": broker, "cores": os.cpu_count(),
        },
    )  # fmt: skip


def lock_summary(result: LockResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    verify, tap = result.verify, result.tap
    rows = [
        [what, *map(str, msgspec.structs.astuple(found))]
        for what, found in (
            ("tap to open", tap.tap_to_open_ms),
            ("its challenge", tap.challenge_ms),
            ("its unlock", tap.unlock_ms),
        )
    ]
    return "\n".join(
        [
            f"a grant of {verify.grant_bytes} bytes: verified in {verify.grant_us:g} us ({verify.ratio_to_ed25519:g} of Ed25519 alone, "
            f"{verify.ed25519_us:g} us), its holder's proof in {verify.holder_us:g} us",
            table(["gateway and lock, no radio", "p50 ms", "p99 ms", "most ms"], rows),
            f"{tap.taps} taps, wrong {tap.wrong}, {'within' if tap.within else 'NOT within'} {tap.allowed_p99_ms:g} ms (p99); a turn costs "
            f"the gateway {tap.gateway_cpu_ms:g} ms CPU, lock and Bluetooth service {tap.lock_and_bus_cpu_ms:g} ms",
            "settings: " + ", ".join(f"{k} {v}" for k, v in result.settings.items()),
        ]
    )
