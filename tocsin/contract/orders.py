"""Commands to devices as they travel: the arguments of a `Command` of kind `device.command`, and how one came out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

Scalar = str | int | float | bool

DEVICE_COMMAND, DEVICE_CONFIRM = "device.command", "device.confirm"
ORDER_KINDS = frozenset({DEVICE_COMMAND, DEVICE_CONFIRM})
ACCEPTED, RESULT = "command.accepted", "command.result"  # kinds of events
_ARGUMENT = "arg."


class Outcome(StrEnum):
    """How a command to a device came out. Stable."""

    DONE = "done"  # the device confirmed it
    REFUSED = "refused"  # not sent: not allowed, wrong arguments, no room in the queue
    EXPIRED = "expired"  # not sent: its time ran out before its turn, or before it was confirmed
    FAILED = "failed"  # the device said no, or could not be reached: not carried out
    UNKNOWN = "unknown"  # sent, and nothing says whether it was carried out
    ARMED = "armed"  # waits for its confirmation; another result follows


def pack(device: str, name: str, args: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The `args` of a `device.command`: `device`, `name`, and each argument of the device's command as `arg.<its name>`."""
    return {"device": device, "name": name} | {f"{_ARGUMENT}{k}": v for k, v in args.items()}


def unpack(args: Mapping[str, Scalar]) -> tuple[str, str, dict[str, Scalar]]:
    """(device, name, arguments) of a `device.command`; a device or name that is not there is empty."""
    own = {k.removeprefix(_ARGUMENT): v for k, v in args.items() if k.startswith(_ARGUMENT)}
    return str(args.get("device", "")), str(args.get("name", "")), own
