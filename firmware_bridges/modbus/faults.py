"""Faults a virtual device can play, over time: `unit=2,kind=half,from=5,for=3`."""

from __future__ import annotations

import math
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from firmware_bridges.modbus.pdu import ExceptionCode


class FaultKind(StrEnum):
    """What goes wrong with an answer."""

    EXCEPTION = "exception"
    GARBAGE = "garbage"
    HALF = "half"
    CRC = "crc"
    LATE = "late"
    SILENT = "silent"
    WRONG_UNIT = "wrong-unit"
    SPLIT = "split"
    ECHO = "echo"
    STUCK = "stuck"
    ECHO_ONLY = "echo-only"  # the adapter repeats the request, the device is silent


HARMLESS = frozenset(
    {FaultKind.SPLIT, FaultKind.ECHO, FaultKind.STUCK}
)  # the answer still arrives, whole and in time


class Fault(BaseModel):
    """One fault of one unit, for a while."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    unit: int = Field(ge=0, le=255, description="Unit whose answers it spoils.")
    kind: FaultKind = Field(description="What goes wrong.")
    from_s: float = Field(default=0.0, alias="from", description="Seconds after start.")
    for_s: float = Field(default=math.inf, alias="for", description="How long, in seconds.")
    after: int = Field(default=0, ge=0, description="Requests answered soundly before it.")
    times: int | None = Field(default=None, ge=1, description="Requests it spoils, then no more.")
    every: int = Field(default=1, ge=1, description="Of so many requests it spoils one.")
    code: int = Field(default=int(ExceptionCode.DEVICE_FAILURE), description="Exception code.")
    delay_s: float = Field(default=1.5, alias="delay", description="How late, in seconds.")

    def active(self, t: float, asked: int) -> bool:
        """Whether it plays `t` seconds after start, for the unit's request number `asked` (from 0)."""
        if asked < self.after or (self.times is not None and asked >= self.after + self.times):
            return False
        if (asked - self.after) % self.every:
            return False
        return self.from_s <= t < self.from_s + self.for_s


def parse_pairs(text: str) -> dict[str, str]:
    """`a=1,b=x` as a mapping."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {key.strip(): value.strip() for key, _, value in pairs}


def parse_fault(text: str) -> Fault:
    """The fault that a command-line switch describes."""
    return Fault.model_validate(parse_pairs(text))


def fault_at(faults: tuple[Fault, ...], unit: int, t: float, asked: int) -> Fault | None:
    """The first fault that `unit` plays `t` seconds after start, for its request number `asked`."""
    return next((f for f in faults if f.unit == unit and f.active(t, asked)), None)


def measured_at(faults: tuple[Fault, ...], unit: int, t: float) -> float:
    """The time whose values `unit` shows `t` seconds after start: while stuck, that at which it got stuck."""
    stuck = (
        f.from_s
        for f in faults
        if f.unit == unit and f.kind is FaultKind.STUCK and f.active(t, f.after)
    )
    return min((t, *stuck))
