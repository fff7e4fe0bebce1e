"""What a driver hands over: samples as the device reported them, before scaling and judging."""

from __future__ import annotations

from typing import Literal

import msgspec

from tocsin.contract.catalogue import TypeCode, Value


class Channel(msgspec.Struct, frozen=True):
    """One quantity of one device as its driver delivers it.

    `unit` is the UCUM code of the delivered number after `scale` and `offset` (y = x * scale + offset); the pipeline
    applies both and converts to the catalogue's unit. A quantity that is not in the catalogue keeps `unit` as its own.
    """

    quantity: str
    unit: str
    type: TypeCode = "f"
    scale: float = 1.0
    offset: float = 0.0


class SourceWindow(msgspec.Struct, frozen=True):
    """How far from the gateway's clock a source's own time may lie and still be believed, in seconds.

    `max_past_s` None believes any past (a replay).
    """

    max_past_s: float | None = 86_400.0
    max_future_s: float = 300.0


class Argument(msgspec.Struct, frozen=True, omit_defaults=True):
    """One argument of a command. `choices` are all values it may have, `low` and `high` the bounds of a number (of a text's length)."""

    name: str
    type: Literal["number", "integer", "text", "flag"] = "number"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str | int | float, ...] = ()
    required: bool = True


class CommandSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command a device takes; `title` is for people."""

    name: str
    title: str = ""
    arguments: tuple[Argument, ...] = ()


class DeviceSpec(msgspec.Struct, frozen=True):
    """One device of a driver: announced once, before its first sample.

    `period_s` is the expected time between samples; None where the device speaks when it likes. `commands` are what it
    can be told, if its driver takes commands.
    """

    id: str
    measurement: str
    channels: tuple[Channel, ...]
    period_s: float | None = None
    window: SourceWindow = SourceWindow()
    model: str = ""
    commands: tuple[CommandSpec, ...] = ()


class Sample(msgspec.Struct, frozen=True, gc=False):
    """All quantities of one scan of one device.

    `values[i]` belongs to `spec.channels[i]`; None means the device gave none, with the reason in `quality[i]`
    (`Quality.MISSING`, `COMMS`, ...). A channel that is absent from this scan for no fault (a sentence without it) is
    None with quality 0 and is not stored. `ts_ns` is the gateway's wall clock at the read; `source_ns` the device's
    own time, if it told one. `evidence` is the SHA-256 of a picture that shows it, for the alarms it raises.
    """

    spec: DeviceSpec
    ts_ns: int
    values: tuple[Value, ...]
    source_ns: int | None = None
    quality: tuple[int, ...] | None = None
    evidence: str = ""
