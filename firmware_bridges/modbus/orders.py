"""What a device can be told: `[[commands]]` of a profile, and the registers or coils that one command writes."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from firmware_bridges.modbus.pdu import MAX_WRITE_BITS, MAX_WRITE_REGISTERS, WriteRequest
from firmware_bridges.modbus.values import Order, RegisterType, encode, order_of, width
from tocsin.contract.units import all_units, known
from tocsin.errors import UsageError

End = Literal["big", "little"]
_FLAGS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
_NAME = r"^[a-z][a-z0-9_-]{0,39}$"
COIL_FUNCTIONS, SINGLE_FUNCTIONS = (5, 15), (5, 6)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(_Model):
    """One value that an argument may have."""

    name: str = Field(pattern=_NAME, description="What people write.")
    value: int = Field(description="The register's number.")


class CommandArgument(_Model):
    """The one argument of a command: a number within bounds, one of some words, or (type `bit`) on or off."""

    name: str = Field(default="value", pattern=_NAME, description="Its name.")
    type: RegisterType = Field(default=RegisterType.U16, description="Layout of the number.")
    scale: float = Field(
        default=1.0, allow_inf_nan=False, description="y = register * scale + offset, y in `unit`."
    )
    offset: float = Field(default=0.0, allow_inf_nan=False, description="See `scale`.")
    unit: str = Field(default="1", description="UCUM unit of the number that people give.")
    low: float | None = Field(default=None, description="Least number allowed, in `unit`.")
    high: float | None = Field(default=None, description="Greatest number allowed, in `unit`.")
    choices: tuple[Choice, ...] = Field(default=(), description="Or the words allowed.")

    @field_validator("unit")
    @classmethod
    def _unit_is_known(cls, unit: str) -> str:
        if not known(unit):
            raise ValueError(f"unknown unit; one of: {', '.join(all_units())}")
        return unit

    @model_validator(mode="after")
    def _bounded(self) -> CommandArgument:
        bounds = self.low is not None and self.high is not None
        if self.scale == 0.0:
            raise ValueError("scale must not be 0")
        if self.type is RegisterType.BIT:
            if self.choices or self.low is not None or self.high is not None:
                raise ValueError("a bit is on or off: it takes no bounds and no choices")
        elif bool(self.choices) == bounds or (self.low is None) != (self.high is None):
            raise ValueError("give `low` and `high`, or `choices`")
        elif self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError("low lies below high")
        names = [choice.name for choice in self.choices]
        if len(set(names)) < len(names):
            raise ValueError("a choice stands twice")
        return self


class Writable(_Model):
    """One command of the device: one write request."""

    name: str = Field(pattern=_NAME, description="Name of the command.")
    title: str = Field(default="", max_length=200, description="What it does, for people.")
    function: Literal[5, 6, 15, 16] = Field(
        description="5 one coil, 6 one register, 15 coils, 16 registers."
    )
    address: Annotated[int, Field(ge=0, le=65535)] = Field(
        description="First coil or register, counted from 0."
    )
    values: tuple[Annotated[int, Field(ge=0, le=65535)], ...] = Field(
        default=(), description="What is written, one for each coil (0, 1) or register."
    )
    argument: CommandArgument | None = Field(default=None, description="Or what people give.")
    word_order: End | None = Field(default=None, description="Instead of the profile's.")
    byte_order: End | None = Field(default=None, description="Instead of the profile's.")
    verify: bool = Field(
        default=False,
        description="Read it back (coils by 1, registers by 3); another value: failed.",
    )
    idempotent: bool = Field(
        default=False, description="Twice does no more than once: sent again when no answer came."
    )

    @model_validator(mode="after")
    def _parts_agree(self) -> Writable:
        coils = self.function in COIL_FUNCTIONS
        if (self.argument is None) == (not self.values):
            raise ValueError("give `values` or an `argument`")
        if self.argument is not None:
            if coils != (self.argument.type is RegisterType.BIT):
                raise ValueError("type `bit` goes with coils (functions 5, 15), and only with them")
            for number in _ends(self.argument):
                self.raw(number, Order.ABCD)
        elif coils and any(value > 1 for value in self.values):
            raise ValueError("a coil is 0 or 1")
        most = 1 if self.function in SINGLE_FUNCTIONS else MAX_WRITE_BITS if coils else MAX_WRITE_REGISTERS  # fmt: skip
        if self.count > most:
            raise ValueError(f"function {self.function} writes at most {most}")
        if self.address + self.count > 65536:
            raise ValueError("the last one lies beyond 65535")
        return self

    @property
    def count(self) -> int:
        """Coils or registers it writes."""
        return len(self.values) if self.argument is None else width(self.argument.type)

    def raw(self, number: float, order: Order) -> tuple[int, ...]:
        """The registers (or the coil) of a number in the argument's unit.

        Raises:
            ValueError: the argument's type cannot hold it.
        """
        argument = self.argument
        if argument is None:
            return self.values
        if argument.type is RegisterType.BIT:
            return (int(bool(number)),)
        step = number if argument.choices else (number - argument.offset) / argument.scale
        is_float = argument.type in (RegisterType.F32, RegisterType.F64)
        try:
            return encode(step if is_float else round(step), argument.type, order)
        except (struct.error, OverflowError) as exc:
            raise ValueError(f"{argument.type.value} cannot hold {number:g}") from exc


def _ends(argument: CommandArgument) -> list[float]:
    if argument.choices:
        return [choice.value for choice in argument.choices]
    return [n for n in (argument.low, argument.high) if n is not None]


class Write(msgspec.Struct, frozen=True):
    """One command with its arguments, as it goes over the line."""

    request: WriteRequest
    verify: bool
    idempotent: bool


def write_of(
    command: Writable, args: Mapping[str, Any], *, word_order: End, byte_order: End
) -> Write:
    """What the command writes. Numbers may be text.

    Raises:
        UsageError: an argument is missing, unknown, or not allowed.
    """
    order = order_of(
        word_order=command.word_order or word_order, byte_order=command.byte_order or byte_order
    )
    argument = command.argument
    wanted = [argument.name] if argument is not None else []
    if sorted(args) != wanted:
        takes = f"takes {wanted[0]}=..." if wanted else "takes no arguments"
        raise UsageError(f"{command.name} {takes}, not {', '.join(sorted(args)) or 'nothing'}")
    number = 0.0 if argument is None else _number(command.name, argument, args[argument.name])
    values = command.raw(number, order)
    request = WriteRequest(command.function, command.address, values)
    return Write(request, command.verify, command.idempotent)


def _number(name: str, argument: CommandArgument, given: Any) -> float:
    text = str(given).strip().lower()
    if argument.type is RegisterType.BIT:
        if text not in _FLAGS:
            raise UsageError(f"{name}: {argument.name} is on or off, not {given!r}")
        return float(_FLAGS[text])
    if argument.choices:
        found = next((c for c in argument.choices if c.name == text), None)
        if found is None:
            names = ", ".join(choice.name for choice in argument.choices)
            raise UsageError(f"{name}: {argument.name} is one of {names}, not {given!r}")
        return float(found.value)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    low, high = argument.low, argument.high
    if low is None or high is None or not low <= number <= high:
        bounds = f"{low:g} to {high:g}" if low is not None and high is not None else "a number"
        unit = "" if argument.unit == "1" else f" {argument.unit}"
        raise UsageError(f"{name}: {argument.name} is {bounds}{unit}, not {given!r}")
    return number
