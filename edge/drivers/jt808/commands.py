"""Commands down to a terminal: text, position now, tracking, parameters, attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from edge.drivers.jt808.session import Session
from firmware_bridges.jt808.describe import describe_frame
from firmware_bridges.jt808.frames import Frame
from firmware_bridges.jt808.messages import (
    Id,
    Parameter,
    Result,
    Text,
    decode_ack,
    encode_parameters,
    encode_text,
)
from firmware_bridges.jt808.more import encode_track
from firmware_bridges.jt808.reassembly import Whole
from tocsin.errors import DeviceFaultError, DriverReason, LinkError, UsageError

_REPORT_INTERVAL = 0x0029
_SHOWN = {Id.LOCATION_ANSWER: "location", Id.PARAMETERS: "parameters", Id.ATTRIBUTES: "attributes"}


_Byte = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
_Word = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
_Long = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of one command."""


class _SendText(_Order, frozen=True):
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]  # 1000 bytes of GBK at most
    flags: _Byte = 0x04  # shown on the terminal's display; 0x01 urgent, 0x08 spoken
    kind: _Byte = 1


class _Track(_Order, frozen=True):
    interval_s: _Word
    valid_s: _Long = 3600


class _Interval(_Order, frozen=True):
    seconds: _Long


class _Nothing(_Order, frozen=True):
    pass


_ARGUMENTS: dict[str, type[_Order]] = {
    "text": _SendText,
    "locate": _Nothing,
    "track": _Track,
    "report-interval": _Interval,
    "parameters": _Nothing,
    "attributes": _Nothing,
}


class Command:
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

    def message(self, is_2019: bool) -> tuple[int, bytes]:
        """Message id and body."""
        match self.order:
            case _SendText(text, flags, kind):
                return Id.TEXT, encode_text(Text(flags, text, kind), is_2019)
            case _Track(interval_s, valid_s):
                return Id.TRACK, encode_track(interval_s, valid_s)
            case _Interval(seconds):
                value = Parameter(_REPORT_INTERVAL, seconds.to_bytes(4, "big"))
                return Id.SET_PARAMETERS, encode_parameters((value,))
            case _:
                asked = {
                    "locate": Id.ASK_LOCATION,
                    "parameters": Id.ASK_PARAMETERS,
                    "attributes": Id.ASK_ATTRIBUTES,
                }
                return asked[self.name], b""


async def command(session: Session, device: str, asked: Command, limit_s: float) -> dict[str, Any]:
    """Send it and tell what the terminal said."""
    msg_id, body = asked.message(session.is_2019)
    wanted = (*_SHOWN, Id.TERMINAL_ACK)
    try:
        answer = await session.ask(msg_id, body, wanted, limit_s)
    except TimeoutError as exc:
        raise LinkError(
            DriverReason.NO_ANSWER, f"no answer to {asked.name} in {limit_s:g} s", device=device
        ) from exc
    return _result(device, asked.name, answer)


def _result(device: str, name: str, answer: Whole) -> dict[str, Any]:
    if answer.header.msg_id == Id.TERMINAL_ACK:
        result = decode_ack(answer.body).result
        if result != Result.OK:
            raise DeviceFaultError(
                DriverReason.EXCEPTION_CODE,
                f"{name}: the terminal answered {result}",
                device=device,
            )
        return {"result": result}
    facts = describe_frame(Frame(answer.header, answer.body, 0))
    shown = _SHOWN[Id(answer.header.msg_id)]
    return {shown: facts.get(shown)}
