"""A device profile: where each quantity lies in a device's registers and what its number means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from firmware_bridges.modbus.loop import loop_map
from firmware_bridges.modbus.orders import Writable
from firmware_bridges.modbus.pdu import MAX_REGISTERS, READ_BIT_FUNCTIONS
from firmware_bridges.modbus.values import Order, RegisterType, order_of, width
from tocsin.config import Mistake, MistakesError
from tocsin.contract.catalogue import TypeCode, catalogue, find, is_identifier
from tocsin.contract.units import all_units, conversion, known

End = Literal["big", "little"]
Address = Annotated[int, Field(ge=0, le=65535)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Loop(_Model):
    """A 4-20 mA loop behind the register; fault and saturation as NAMUR NE 43 has them."""

    lo: float = Field(description="Value at 4 mA.")
    hi: float = Field(description="Value at 20 mA.")
    unit: str = Field(description="UCUM unit of `lo` and `hi`.")


class Point(_Model):
    """One quantity of the device."""

    quantity: str = Field(description="Name in the catalogue, or a name of your own.")
    address: Address = Field(description="First register or bit, counted from 0 (40001 is 0).")
    function: Literal[1, 2, 3, 4] = Field(
        default=3, description="1 coil, 2 discrete input, 3 holding register, 4 input register."
    )
    type: RegisterType = Field(default=RegisterType.U16, description="Layout of the number.")
    bit: int | None = Field(
        default=None, ge=0, le=15, description="Bit of the register, 0 the least; for type `bit`."
    )
    word_order: End | None = Field(default=None, description="Instead of the profile's.")
    byte_order: End | None = Field(default=None, description="Instead of the profile's.")
    scale: float = Field(
        default=1.0, allow_inf_nan=False, description="y = x * scale + offset, y in `unit`."
    )
    offset: float = Field(default=0.0, description="y = x * scale + offset, y in `unit`.")
    unit: str = Field(default="1", description="UCUM unit of the scaled number; mA for a loop.")
    decimals_address: Address | None = Field(
        default=None, description="Register that holds the number of decimals (u16, same function)."
    )
    missing: tuple[float, ...] = Field(
        default=(), description="Register values (before scaling) that mean: no value."
    )
    fault_mask: int = Field(
        default=0, ge=0, description="Bits of this status word that say: the device is faulty."
    )
    warm_up_mask: int = Field(
        default=0, ge=0, description="Bits of this status word that say: still warming up."
    )
    labels: dict[str, str] = Field(
        default_factory=dict, description="What the numbers of a status or enum mean; for people."
    )
    loop: Loop | None = Field(default=None, description="The number is a loop current in mA.")

    @field_validator("scale")
    @classmethod
    def _scale_tells_numbers_apart(cls, scale: float) -> float:
        if scale == 0.0:
            raise ValueError("must not be 0")
        return scale

    @field_validator("unit")
    @classmethod
    def _unit_is_known(cls, unit: str) -> str:
        if not known(unit):
            raise ValueError(f"unknown unit; one of: {', '.join(all_units())}")
        return unit

    @field_validator("quantity")
    @classmethod
    def _name_fits_the_stores(cls, name: str) -> str:
        if not is_identifier(name):
            raise ValueError("a name is lower-case letters, digits and _, and none of ours")
        return name

    @model_validator(mode="after")
    def _parts_agree(self) -> Point:
        on_bits = self.function in READ_BIT_FUNCTIONS
        if on_bits and self.type is not RegisterType.BIT:
            raise ValueError(f"function {self.function} reads bits: type must be `bit`")
        if not on_bits and (self.type is RegisterType.BIT) != (self.bit is not None):
            raise ValueError("`bit` and type `bit` go together in a register")
        if self.address + self.registers > 65536:
            raise ValueError("the last register lies beyond 65535")
        if self.loop is not None and self.unit != "mA":
            raise ValueError("a loop's `unit` is mA; give the measured unit in `loop.unit`")
        if self.loop is not None and self.loop.lo == self.loop.hi:
            raise ValueError("a loop's lo and hi must differ")
        if self.loop is not None and not known(self.loop.unit):
            raise ValueError(f"unknown loop.unit; one of: {', '.join(all_units())}")
        if self.decimals_address is not None and (on_bits or self.type is RegisterType.BIT):
            raise ValueError("a bit has no decimals")
        return self

    @property
    def registers(self) -> int:
        """Registers (or bits, for functions 1 and 2) that it takes."""
        return width(self.type)

    @property
    def value_unit(self) -> str:
        """Unit of the number after all scaling."""
        return self.loop.unit if self.loop else self.unit

    @property
    def scaling(self) -> tuple[float, float]:
        """(scale, offset) from the register's number to `value_unit`."""
        if self.loop is None:
            return self.scale, self.offset
        per_ma, base = loop_map(self.loop.lo, self.loop.hi)
        return self.scale * per_ma, self.offset * per_ma + base


class Header(_Model):
    """What holds for the whole device."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Name of the profile.")
    title: str = Field(default="", description="What the device is, for people.")
    model: str = Field(default="", description="Maker and model.")
    measurement: str = Field(description="Kind of device: the table its readings go to.")
    word_order: End = Field(default="big", description="Which word of 32 or 64 bits comes first.")
    byte_order: End = Field(default="big", description="Which byte of a register comes first.")
    max_registers: int = Field(
        default=MAX_REGISTERS, ge=1, le=MAX_REGISTERS, description="Most registers in one request."
    )
    max_gap: int = Field(
        default=0, ge=0, le=64, description="Unused registers that one request may read across."
    )

    @field_validator("measurement")
    @classmethod
    def _name_fits_the_stores(cls, name: str) -> str:
        if not is_identifier(name):
            raise ValueError(f"not a name; known kinds: {', '.join(catalogue())}")
        return name


class Profile(_Model):
    """One file of configs/profiles."""

    profile: Header = Field(description="What holds for the whole device.")
    points: tuple[Point, ...] = Field(description="The quantities.")
    commands: tuple[Writable, ...] = Field(
        default=(), description="What the device can be told; nothing else is ever written to it."
    )

    @model_validator(mode="after")
    def _points_agree(self) -> Profile:
        found = [] if self.points else [Mistake(("points",), "at least one [[points]] is needed")]
        seen: set[str] = set()
        for i, point in enumerate(self.points):
            if point.quantity in seen:
                found.append(Mistake(("points", i, "quantity"), "stands twice"))
            seen.add(point.quantity)
            if point.registers > self.profile.max_registers:
                found.append(Mistake(("points", i, "type"), "is wider than max_registers"))
            found += (Mistake(("points", i, key), text) for key, text in self._against(point))
        names = [command.name for command in self.commands]
        found += (
            Mistake(("commands", i, "name"), "stands twice")
            for i, name in enumerate(names)
            if name in names[:i]
        )
        if found:
            raise MistakesError(found)
        return self

    def _against(self, point: Point) -> Iterator[tuple[str, str]]:
        """(key, what is wrong) where a point does not fit the catalogue."""
        entry = find(self.profile.measurement, point.quantity)
        if entry is None:
            return
        try:
            conversion(point.value_unit, entry.unit)
        except ValueError as exc:
            yield ("loop" if point.loop else "unit"), f"{exc} (the unit of {point.quantity})"
        if entry.type != "f" and point.scaling != (1.0, 0.0):
            yield "scale", f"{point.quantity} is a whole number or a bit: it takes no scale"

    def order(self, point: Point) -> Order:
        """Byte order of one point."""
        return order_of(
            word_order=point.word_order or self.profile.word_order,
            byte_order=point.byte_order or self.profile.byte_order,
        )

    def type_code(self, point: Point) -> TypeCode:
        """Type of the stored value: the catalogue's, else after the register."""
        entry = find(self.profile.measurement, point.quantity)
        if entry is not None:
            return entry.type
        return "b" if point.type is RegisterType.BIT else "f"
