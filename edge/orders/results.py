"""What is told and what is remembered of a command to a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tocsin.contract.messages import Command
from tocsin.contract.orders import ORDER_KINDS, Outcome, unpack
from tocsin.errors import NOT_SENT, CommandRefusal, DeviceFaultError, DriverError

_LONGEST_SHOWN = 60


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one command came out: the `data` of `command.result`, and what the control socket answers.

    `answer` is what the device said. `code`, `confirm_until_ns` and `confirm_by` are there while it is armed,
    `confirms` in the result of a confirmation (the command it confirmed), `confirmed_by` in that command's own.
    """

    id: str
    device: str
    name: str
    actor: str
    outcome: Outcome
    text: str
    reason: str = ""
    answer: dict[str, Any] | None = None
    duration_s: float = 0.0
    code: str = ""
    confirm_until_ns: int = 0
    confirm_by: str = ""
    confirms: str = ""
    confirmed_by: str = ""

    def data(self) -> dict[str, object]:
        """All but what stands in the event itself."""
        told: dict[str, object] = msgspec.to_builtins(self)
        told.pop("text")
        told.pop("device")
        return told


class OrderNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the outbox file remembers of a command that has no result yet."""

    device: str
    name: str
    actor: str
    armed: bool = False


def noted(text: str) -> OrderNote:
    """A note as it was written; an unreadable one says nothing."""
    try:
        return msgspec.json.decode(text, type=OrderNote)
    except msgspec.DecodeError:
        return OrderNote("", "", "")


def open_note(command: Command) -> str:
    """What to remember of a command until its result is told; "" for one that is no device's."""
    if command.kind not in ORDER_KINDS:
        return ""
    device, name, _ = unpack(command.args)
    return msgspec.json.encode(OrderNote(device, name, command.actor)).decode()


def refused_data(command: Command, reason: str) -> dict[str, object]:
    """The `data` of the result of a command that was refused at the door."""
    device, name, _ = unpack(command.args)
    outcome = Outcome.EXPIRED if reason == CommandRefusal.EXPIRED else Outcome.REFUSED
    return Result(command.id, device, name, command.actor, outcome, "", reason=reason).data()


def carried_out(error: DriverError) -> Outcome:
    """Whether a command that ended with `error` may have been carried out."""
    if isinstance(error, DeviceFaultError) or error.reason in NOT_SENT:
        return Outcome.FAILED
    return Outcome.UNKNOWN


def told(device: str, name: str, args: Mapping[str, Any]) -> str:
    """A command for people."""
    shown = ", ".join(f"{k}={_short(v)}" for k, v in args.items())
    return f"{device} {name}({shown})" if shown else f"{device} {name}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
