"""The register image of a virtual device: what its port answers, and which canonical values those answers encode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from firmware_bridges.modbus.orders import COIL_FUNCTIONS
from firmware_bridges.modbus.pdu import READ_BIT_FUNCTIONS
from firmware_bridges.modbus.profile import Point, Profile
from firmware_bridges.modbus.values import RegisterType, decode, encode, limits
from tocsin.contract.catalogue import Value, find
from tocsin.contract.units import Linear, conversion

DECIMALS = 1  # what a virtual device puts into its decimals registers


class _Scale:
    """`y = x * scale + offset`; a scale of 1/n divides by n: 209 tenths are 20.9, as whoever reads them must find."""

    def __init__(self, linear: Linear) -> None:
        self.scale, self.offset = linear.scale, linear.offset
        self.is_identity = linear.is_identity
        whole = float(round(1.0 / linear.scale))
        self._divisor = whole if whole and 1.0 / whole == linear.scale else 0.0

    def __call__(self, x: float) -> float:
        return (x / self._divisor if self._divisor else x * self.scale) + self.offset


class _Cell:
    """One point with its maps from register to canonical value and back."""

    def __init__(self, profile: Profile, point: Point) -> None:
        self.point = point
        self.order = profile.order(point)
        entry = find(profile.profile.measurement, point.quantity)
        self.type = profile.type_code(point)
        self.to_canonical = _Scale(
            conversion(point.value_unit, entry.unit) if entry is not None else Linear()
        )
        self.scaling = _Scale(Linear(*point.scaling))
        self.tens = 1 if point.decimals_address is None else 10**DECIMALS

    def to_raw(self, value: float) -> float:
        step = (value - self.to_canonical.offset) / self.to_canonical.scale
        raw = (step - self.scaling.offset) / self.scaling.scale * self.tens
        bounds = limits(self.point.type)
        if bounds is None:
            return raw
        return min(max(round(raw), bounds[0]), bounds[1])

    def to_value(self, raw: float) -> Value:
        if self.point.type is RegisterType.BIT:
            return bool(raw) if self.type == "b" else int(raw)
        if raw in self.point.missing or not math.isfinite(raw):
            return None
        if self.type == "i":
            return int(raw)
        number = raw / self.tens if self.tens > 1 else float(raw)
        return self.to_canonical(self.scaling(number))


class RegisterImage:
    """Registers and bits by function, filled from canonical values."""

    def __init__(self, profile: Profile) -> None:
        self._cells = [_Cell(profile, point) for point in profile.points]
        self._words: dict[int, dict[int, int]] = {}
        for cell in self._cells:
            point = cell.point
            words = self._words.setdefault(point.function, {})
            for address in range(point.address, point.address + point.registers):
                words.setdefault(address, 0)
            if point.decimals_address is not None:
                words[point.decimals_address] = DECIMALS
        self._fill_small_gaps(profile.profile.max_gap)
        for command in profile.commands:
            words = self._words.setdefault(1 if command.function in COIL_FUNCTIONS else 3, {})
            for address in range(command.address, command.address + command.count):
                words.setdefault(address, 0)

    def _fill_small_gaps(self, max_gap: int) -> None:
        for words in self._words.values():
            used = sorted(words)
            for a, b in pairwise(used):
                if b - a - 1 <= max_gap:
                    for address in range(a + 1, b):
                        words[address] = 0

    @property
    def quantities(self) -> tuple[str, ...]:
        """Every quantity the device has."""
        return tuple(cell.point.quantity for cell in self._cells)

    def update(self, values: Mapping[str, float]) -> None:
        """Sets the registers of the quantities given; numbers out of a register's range are clipped."""
        for cell in self._cells:
            if cell.point.quantity in values:
                self._put(cell, values[cell.point.quantity])

    def _put(self, cell: _Cell, value: float) -> None:
        point = cell.point
        words = self._words[point.function]
        if point.function in READ_BIT_FUNCTIONS:
            words[point.address] = int(bool(value))
        elif point.bit is not None:
            mask = 1 << point.bit
            words[point.address] = words[point.address] & ~mask | (mask if value else 0)
        else:
            registers = encode(cell.to_raw(value), point.type, cell.order)
            for i, register in enumerate(registers):
                words[point.address + i] = register

    def read(self, function: int, address: int, count: int) -> tuple[int, ...] | None:
        """The registers or bits asked for; None when one of them does not exist."""
        words = self._words.get(function, {})
        try:
            return tuple(words[i] for i in range(address, address + count))
        except KeyError:
            return None

    def write(self, function: int, address: int, values: tuple[int, ...]) -> bool:
        """Overwrites existing registers or coils; False when one does not exist."""
        words = self._words.get(1 if function in COIL_FUNCTIONS else 3, {})
        if not all(address + i in words for i in range(len(values))):
            return False
        words.update({address + i: value for i, value in enumerate(values)})
        return True

    def value(self, quantity: str) -> Value:
        """The canonical value that the registers of `quantity` encode now."""
        for cell in self._cells:
            if cell.point.quantity == quantity:
                return self._value(cell)
        raise KeyError(quantity)

    def _value(self, cell: _Cell) -> Value:
        point = cell.point
        words = self._words[point.function]
        if point.function in READ_BIT_FUNCTIONS:
            return cell.to_value(words[point.address])
        if point.bit is not None:
            return cell.to_value(words[point.address] >> point.bit & 1)
        registers = [words[point.address + i] for i in range(point.registers)]
        return cell.to_value(decode(registers, point.type, cell.order))

    def values_in(self, function: int, address: int, count: int) -> dict[str, Value]:
        """Canonical values of the quantities whose registers all lie in the range that was answered."""
        return {
            cell.point.quantity: self._value(cell)
            for cell in self._cells
            if cell.point.function == function
            and cell.point.address >= address
            and cell.point.address + cell.point.registers <= address + count
        }
