"""`tocsin bench lock`: what a grant costs to verify, how long a lock takes to open from the tap, and gas to stop the work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.broker import Kind
from tocsin.lab.lock_breach import POLL_S, BreachFigure, measure_breaches
from tocsin.lab.lock_core import CoreFigure, measure_core
from tocsin.lab.lock_taps import TapFigure, measure_taps
from tocsin.lab.lock_verify import VerifyFigure, measure_verify


class LockResult(msgspec.Struct, frozen=True):
    """What `tocsin bench lock --json` prints. `core` is None outside a checkout."""

    verify: VerifyFigure
    core: CoreFigure | None
    tap: TapFigure
    breach: BreachFigure
    settings: dict[str, Any]


def run_lock(
    *,
    taps: int,
    approvals: int,
    breaches: int,
    rounds: int,
    broker: Kind,
    say: Callable[[str], None],
) -> LockResult:
    """One part after the other.

    Raises:
        LabError: a part did not start, or a lock did not do what it was told.
    """
    say(f"verifying a grant {rounds:,} times")
    verify = measure_verify(rounds)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        core = measure_core(Path(name), rounds)
        say(f"{approvals} approvals, and {taps} openings through a gateway")
        tap = measure_taps(Path(name) / "taps", taps, approvals, broker)
        say(f"gas in {breaches} spaces")
        breach = measure_breaches(Path(name) / "breaches", breaches, broker)
    return LockResult(
        verify,
        core,
        tap,
        breach,
        {
            "profile": "B (Ed25519)", "bluetooth": "unmodified bleak, BlueZ's D-Bus interface without a radio",
            "gas_period_s": POLL_S, "outbox_fsync": "batch", "broker": broker, "cores": os.cpu_count(),
        },
    )  # fmt: skip


def lock_summary(result: LockResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    verify, tap, breach, core = result.verify, result.tap, result.breach, result.core
    rows = [
        [what, *map(str, msgspec.structs.astuple(found))]
        for what, found in (
            ("tap to open", tap.tap_to_open_ms),
            ("its challenge", tap.challenge_ms),
            ("its unlock", tap.unlock_ms),
            ("approval to open", tap.approval_to_open_ms),
            ("gas to suspension", breach.suspended_ms),
            ("gas to siren", breach.siren_ms),
            ("gas to the broker", breach.told_ms),
        )
    ]
    return "\n".join(
        [
            f"a grant of {verify.grant_bytes} bytes: verified in {verify.grant_us:g} us ({verify.ratio_to_ed25519:g} of Ed25519 alone, "
            f"{verify.ed25519_us:g} us), its holder's proof in {verify.holder_us:g} us",
            "the lock's C core is not in this installation"
            if core is None
            else f"the lock's C core: profile A {core.profile_a_cycles:,.0f} cycles, {core.profile_a_ns / 1e3:.1f} us; profile B "
            f"{core.profile_b_cycles:,.0f} cycles, {core.profile_b_ns / 1e3:.1f} us",
            table(["gateway and lock, no radio", "p50 ms", "p99 ms", "most ms"], rows),
            f"{tap.taps} taps, wrong {tap.wrong}, {'within' if tap.within else 'NOT within'} {tap.allowed_p99_ms:g} ms (p99); a turn costs "
            f"the gateway {tap.gateway_cpu_ms:g} ms CPU, lock and Bluetooth service {tap.lock_and_bus_cpu_ms:g} ms",
            f"{breach.breaches} breaches, missing {breach.missing}, wrong {breach.wrong}, "
            f"{'within' if breach.within else 'NOT within'} {breach.allowed_ms:g} ms (each siren)",
            "settings: " + ", ".join(f"{k} {v}" for k, v in result.settings.items()),
        ]
    )
