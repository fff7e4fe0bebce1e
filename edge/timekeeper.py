"""What the gateway knows of its own clock: disciplined, free-running, or never set."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

import tocsin
from tocsin.contract.messages import ClockState

_LOOK_EVERY_NS = 1_000_000_000
_STA_UNSYNC = 0x0040  # adjtimex(2)
_TIME_ERROR = 5


class Discipline(msgspec.Struct, frozen=True):
    """The kernel's word on the clock. `error_ms` bounds its error while it is synchronised."""

    synchronised: bool
    error_ms: float | None = None


class _Timex(ctypes.Structure):
    """struct timex up to the fields we read, and room for the rest (adjtimex(2): 208 bytes on 64-bit Linux)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset_us", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("max_error_us", ctypes.c_long),
        ("estimated_error_us", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def kernel_discipline() -> Discipline | None:
    """Ask adjtimex(2), changing nothing; None where the system does not tell."""
    timex = _Timex()
    try:
        verdict = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (AttributeError, OSError):
        return None
    if verdict < 0:
        return None
    if verdict == _TIME_ERROR or timex.status & _STA_UNSYNC:
        return Discipline(synchronised=False)
    return Discipline(synchronised=True, error_ms=timex.max_error_us / 1000)


def power_on() -> str:
    """Names the time since the machine was started: its monotonic clock runs through it (random(4))."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"process-{os.getpid()}"


class Timekeeper:
    """The state of one gateway's clock. A clock that shows a time before `earliest_ns` was never set."""

    def __init__(
        self,
        discipline: Callable[[], Discipline | None] = kernel_discipline,
        *,
        earliest_ns: int = tocsin.EARLIEST_NS,
        power_on: str = "",
    ) -> None:
        self._discipline, self.earliest_ns, self.power_on = discipline, earliest_ns, power_on
        self._looked_ns: int | None = None
        self.state = ClockState("unset")

    def look(self, wall_ns: int, mono_ns: int) -> ClockState:
        """The state now; the kernel is asked at most once a second."""
        if wall_ns < self.earliest_ns:
            self.state, self._looked_ns = ClockState("unset"), None
        elif self._looked_ns is None or mono_ns - self._looked_ns >= _LOOK_EVERY_NS:
            self._looked_ns = mono_ns
            found = self._discipline()
            known = found is not None and found.synchronised
            self.state = ClockState("ntp", found.error_ms) if found and known else ClockState()
        return self.state


def offsets(ends: list[tuple[str, int]], power_on: str, offset_ns: int) -> dict[str, int]:
    """Per power-on what to add to its monotonic times, `offset_ns` being that of the present one.

    Earlier ones ended before the present one began, each at its last row: the latest time that is possible.
    """
    found = {power_on: offset_ns}
    began_ns = offset_ns
    for name, last_ns in reversed([end for end in ends if end[0] != power_on]):
        began_ns -= last_ns + 1
        found[name] = began_ns
    return found
