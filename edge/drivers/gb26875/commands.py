"""Commands down to a transmitter: set its clock, call the guard, read states, values, versions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from edge.drivers.gb26875.session import Session
from edge.drivers.gb26875.site import Transmitter
from firmware_bridges.gb26875.app_data import decode_app, encode_app
from firmware_bridges.gb26875.frames import Command
from tocsin.errors import (
    CodecError,
    DeviceFaultError,
    DriverReason,
    FrameError,
    LinkError,
    UsageError,
)

_Byte = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
_PART = re.compile(r"(\d{1,3})/(\d{1,3})(?:/(\d{1,10}))?")


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of one command."""


class _SyncClock(_Order, frozen=True):
    pass


class _Attendance(_Order, frozen=True):
    minutes: Annotated[int, msgspec.Meta(ge=1, le=0xFF)] = 10


class _Read(_Order, frozen=True):
    what: Literal["status", "analog", "version", "config", "clock"] = "status"
    part: str = ""
    component_type: _Byte = 0


_ARGUMENTS: dict[str, type[_Order]] = {
    "sync-clock": _SyncClock,
    "attendance": _Attendance,
    "read": _Read,
}
# By depth of the part (transmitter, system, component): type flag of the request. 8.3.2 of the standard.
_READS = (
    {"status": 81, "version": 85, "config": 86, "clock": 88},
    {"status": 61, "version": 65, "config": 66, "clock": 68},
    {"status": 62, "analog": 63, "config": 67},
)


class Asked:
    """A command whose arguments are checked."""

    def __init__(self, name: str, args: Mapping[str, Any]) -> None:
        wanted = _ARGUMENTS.get(name)
        if wanted is None:
            raise UsageError(f"no command is named {name!r}", hint=", ".join(_ARGUMENTS))
        try:
            self.order = msgspec.convert(dict(args), wanted, strict=False)
        except msgspec.ValidationError as exc:
            raise UsageError(f"{name}: {exc}") from exc
        self.name = name
        self.frame(datetime(2026, 1, 1))  # noqa: DTZ001 - only to see whether it can be made

    def frame(self, now: datetime) -> tuple[Command, bytes]:
        """Command byte and application data; `now` is the time that a clock is set to."""
        match self.order:
            case _SyncClock():
                told = now.replace(tzinfo=None, microsecond=0).isoformat()
                return Command.CONTROL, encode_app(90, [{"time": told}])
            case _Attendance(minutes):
                return Command.CONTROL, encode_app(91, [{"timeout_min": minutes}])
            case _Read(what, part, component_type):
                return Command.REQUEST, _read(what, part, component_type)
        raise AssertionError(self.order)


def _read(what: str, part: str, component_type: int) -> bytes:
    found = _PART.fullmatch(part)
    if part and found is None:
        raise UsageError("part is written like 1/3 (system) or 1/3/393433 (component)")
    numbers = [int(n) for n in found.groups() if n is not None] if found else []
    depth = max(0, len(numbers) - 1)
    kind = _READS[depth].get(what)
    if kind is None or any(n > 0xFF for n in numbers[:2]) or any(n > 0xFFFFFFFF for n in numbers):
        raise UsageError(f"{what} cannot be read of {part or 'the transmitter'}")
    names = ("system_type", "system_addr", "component_addr")
    one = dict(zip(names, numbers, strict=False))
    return encode_app(kind, [one | {"component_type": component_type, "reserved": 0}])


async def command(
    session: Session, transmitter: Transmitter, asked: Asked, limit_s: float
) -> dict[str, Any]:
    """Send it and tell what the transmitter said."""
    code, app = asked.frame(session.now())
    try:
        answer = await session.ask(transmitter, code, app, limit_s)
    except TimeoutError as exc:
        text = f"no answer to {asked.name} in {limit_s:g} s"
        raise LinkError(DriverReason.NO_ANSWER, text, device=transmitter.id) from exc
    if answer.command == Command.DENY:
        text = f"{asked.name}: the transmitter denied it"
        raise DeviceFaultError(DriverReason.EXCEPTION_CODE, text, device=transmitter.id)
    if answer.command == Command.CONFIRM or not answer.app:
        return {"confirmed": True}
    try:
        return decode_app(answer.app)
    except CodecError as exc:
        raise FrameError(DriverReason.GARBAGE, exc.message, device=transmitter.id) from exc
