"""From what a driver delivers to canonical units; the raw value is kept wherever the unit changed."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import cast

from tocsin.contract import catalogue, units
from tocsin.contract.catalogue import TypeCode, Value
from tocsin.contract.columns import Layout
from tocsin.contract.quality import Quality, worst
from tocsin.contract.units import Linear
from tocsin.sdk.samples import Channel, DeviceSpec

_HUGE = 2**1023  # JSON has whole numbers that no float holds


def all_finite(values: Sequence[Value]) -> bool:
    """Whether every value is a finite number; one sum instead of a look at each."""
    try:
        return isfinite(sum(cast("Sequence[float]", values)))
    except (TypeError, OverflowError):
        return False


class Scale:
    """`y = x * scale + offset`; a scale of 1/n divides by n, so that 209 tenths are 20.9 and not 20.900000000000002."""

    __slots__ = ("_divisor", "_offset", "_scale", "is_identity")

    def __init__(self, linear: Linear) -> None:
        self._scale, self._offset = linear.scale, linear.offset
        self.is_identity = linear.is_identity
        inverse = 1.0 / linear.scale if abs(linear.scale) > 1e-15 else 0.0
        whole = float(round(inverse))
        self._divisor = whole if whole not in (0.0, 1.0) and 1.0 / whole == linear.scale else 0.0

    def __call__(self, x: float) -> float:
        y = x / self._divisor if self._divisor else x * self._scale
        return y + self._offset


class Converter:
    """The channels of one device, compiled.

    Raises:
        ValueError: a channel's unit or type does not become the catalogue's.
    """

    __slots__ = ("_converted", "_mixed", "_scaled", "_types", "layout", "units")

    def __init__(self, spec: DeviceSpec) -> None:
        targets = [_target(spec.measurement, c) for c in spec.channels]
        self._scaled: list[tuple[int, Scale]] = []
        self._converted: list[tuple[int, Scale]] = []
        raw_units = [""] * len(targets)
        for i, (channel, (unit, _)) in enumerate(zip(spec.channels, targets, strict=True)):
            own = Scale(Linear(channel.scale, channel.offset))
            if not own.is_identity:
                self._scaled.append((i, own))
            if unit != channel.unit:
                self._converted.append((i, Scale(units.conversion(channel.unit, unit))))
                raw_units[i] = channel.unit
        self._types = "".join(kind for _, kind in targets)
        self._mixed = set(self._types) != {"f"}
        self.units = tuple(unit for unit, _ in targets)
        self.layout = Layout(
            device=spec.id,
            measurement=spec.measurement,
            quantities=tuple(c.quantity for c in spec.channels),
            types=self._types,
            raw_units=tuple(raw_units) if self._converted else None,
        )

    @property
    def is_identity(self) -> bool:
        """Whether numbers pass as they are."""
        return not self._scaled and not self._converted and not set(self._types) - {"f", "i"}

    def apply(
        self, given: tuple[Value, ...], quality: list[int]
    ) -> tuple[list[Value], tuple[Value, ...] | None]:
        """(values, raw values where units changed); marks in `quality` what is not a value of its type."""
        values = list(given)
        if self._mixed or not all_finite(given):
            self._drop_misfits(values, quality)
        for i, scale in self._scaled:
            value = values[i]
            if isinstance(value, int | float):
                values[i] = scale(value)
        if not self._converted:
            return values, None
        raw: list[Value] = [None] * len(values)
        for i, scale in self._converted:
            value = values[i]
            if isinstance(value, int | float):
                raw[i], values[i] = value, scale(value)
        return values, tuple(raw)

    def _drop_misfits(self, values: list[Value], quality: list[int]) -> None:
        for i, value in enumerate(values):
            if value is not None and not self._fits(i, value):
                values[i] = None
                not_finite = self._types[i] == "f" and isinstance(value, int | float)
                quality[i] = worst(quality[i], Quality.NOT_FINITE if not_finite else Quality.BAD)

    def _fits(self, i: int, value: Value) -> bool:
        kind = self._types[i]
        if kind == "f":
            if isinstance(value, float):
                return isfinite(value)
            return isinstance(value, int) and abs(value) < _HUGE
        if kind == "i":
            return (
                isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
            )
        return isinstance(value, bool if kind == "b" else str)


def _target(measurement: str, channel: Channel) -> tuple[str, TypeCode]:
    """Canonical unit and type of a channel."""
    known = catalogue.find(measurement, channel.quantity)
    moves = not Linear(channel.scale, channel.offset).is_identity
    if known is None:
        if not catalogue.is_identifier(channel.quantity):
            raise ValueError(f"{channel.quantity!r} cannot name a quantity")
        return channel.unit, "f" if moves and channel.type == "i" else channel.type
    numeric = "fi"
    fits = known.type == channel.type or (known.type == "f" and channel.type == "i")
    if not fits or (moves and known.type not in numeric) or (moves and known.type == "i"):
        raise ValueError(
            f"{measurement}.{channel.quantity} is {known.type!r}, the channel gives {channel.type!r}"
            + (" and scales it" if moves else "")
        )
    try:
        units.conversion(channel.unit, known.unit)
    except ValueError as exc:
        raise ValueError(f"{measurement}.{channel.quantity}: {exc}") from exc
    return known.unit, known.type
