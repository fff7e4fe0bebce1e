"""Is the time right? Readings carry it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import tocsin
from edge.doctor.findings import Finding, fail, ok, warn
from edge.timekeeper import Discipline, kernel_discipline

_SET = "timedatectl set-ntp true (or: date -u -s 'YYYY-MM-DD HH:MM:SS'; hwclock -w)"
_BACK_NS = 1_000_000_000


def look(
    now_ns: int,
    last_wall_ns: int,
    discipline: Callable[[], Discipline | None] = kernel_discipline,
    rtc: Path = Path("/dev/rtc0"),
) -> Iterator[Finding]:
    """`last_wall_ns` is the clock at the outbox's last commit: time does not go back."""
    now = _shown(now_ns)
    if now_ns < tocsin.EARLIEST_NS:
        yield fail("clock", f"it shows {now}: it was never set", _SET)
    elif now_ns < last_wall_ns - _BACK_NS:
        behind_s = (last_wall_ns - now_ns) / 1e9
        text = f"it shows {now}, {behind_s:.0f} s before the last reading in the outbox"
        yield fail("clock", text, _SET)
    else:
        yield ok("clock", f"it shows {now}")
    found = discipline()
    if found is None:
        yield warn("clock", "the system does not say whether it is synchronised", "timedatectl")
    elif found.synchronised:
        yield ok("clock", f"synchronised, within {found.error_ms or 0:.0f} ms")
    else:
        yield warn("clock", "nothing keeps it right (not synchronised)", _SET)
    if not rtc.exists():
        text = (
            "there is no battery-backed clock: after a power cut time is unknown until NTP answers"
        )
        yield warn("clock", text, "add an RTC module, or make sure NTP is reachable")


def _shown(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
