"""Commands down to a station: real-time data, its clock."""

from __future__ import annotations

import asyncio
from typing import Any

from edge.drivers.hj212.session import (
    SET_TIME,
    TELLS_TIME,
    Session,
)
from edge.drivers.hj212.stations import Station
from firmware_bridges.hj212.segment import Segment
from tocsin.errors import DeviceFaultError, DriverReason, LinkError, UsageError

_CN = {"read": "2011", "stop": "2012", "clock": TELLS_TIME, "set-clock": SET_TIME}
_READY, _DONE = "1", "1"  # QnRtn, ExeRtn


def command_number(name: str) -> str:
    """The CN of a command.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in _CN:
        raise UsageError(f"no command is named {name!r}", hint="known: " + ", ".join(_CN))
    return _CN[name]


async def command(session: Session, station: Station, name: str, limit_s: float) -> dict[str, Any]:
    """Send it, and tell what the station answered.

    Raises:
        LinkError: the station did not answer in `limit_s`.
        DeviceFaultError: it refused the request, or could not carry it out.
    """
    cn = command_number(name)
    parameters = session.system_time() if cn == SET_TIME else ""
    qn, answers = await session.order(station, cn, parameters)
    try:
        async with asyncio.timeout(limit_s):
            return await _finished(cn, answers, station.id, name)
    except TimeoutError as exc:
        text = f"no answer to {name} in {limit_s:g} s"
        raise LinkError(DriverReason.NO_ANSWER, text, device=station.id) from exc
    finally:
        session.done(station, qn)


async def _finished(
    cn: str, answers: asyncio.Queue[Segment], device: str, name: str
) -> dict[str, Any]:
    """What was told with the command's number, once a result (9012), a notice (9013) or the data asked for has come."""
    facts: dict[str, Any] = {}
    while True:
        told = await answers.get()
        match told.head.get("CN"):
            case "9011":
                _must_be(told, "QnRtn", _READY, device, name)
            case "9012":
                _must_be(told, "ExeRtn", _DONE, device, name)
                return facts
            case "9013":
                return facts
            case other if other == cn:
                facts |= told.fields | {"values": told.factors} if told.factors else told.fields
                if cn == _CN["read"]:
                    return facts  # real-time data goes on until it is stopped


def _must_be(told: Segment, field: str, wanted: str, device: str, name: str) -> None:
    result = told.fields.get(field, "")
    if result != wanted:
        raise DeviceFaultError(
            DriverReason.EXCEPTION_CODE,
            f"{name}: the station answered {field}={result}",
            device=device,
        )
