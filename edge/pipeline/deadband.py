"""Report by exception: a row is left out while nothing in it moved."""

from __future__ import annotations

from collections.abc import Sequence

from edge.pipeline.rules import CheckRule
from tocsin.contract.catalogue import Value
from tocsin.contract.columns import Layout, Row


class Deadband:
    """The last stored row of one device. A quantity without a dead-band of its own has one of 0."""

    __slots__ = ("_axis_ns", "_bands", "_last", "_max_ns")

    def __init__(self, layout: Layout, rules: Sequence[CheckRule]) -> None:
        own = {rule.quantity: rule.deadband for rule in rules if rule.deadband is not None}
        self._bands = tuple(own.get(name, 0.0) for name in layout.quantities)
        self._max_ns = min(rule.deadband_max_ns for rule in rules if rule.deadband is not None)
        self._last: Row | None = None
        self._axis_ns = 0

    def suppresses(self, row: Row, axis_ns: int) -> bool:
        """Whether `row` tells nothing the last stored one did not; otherwise it becomes the last stored one."""
        last = self._last
        if (
            last is not None
            and 0 <= axis_ns - self._axis_ns < self._max_ns
            and last.quality == row.quality
            and all(map(_within, last.values, row.values, self._bands))
        ):
            return True
        self.stored(row, axis_ns)
        return False

    def stored(self, row: Row, axis_ns: int) -> None:
        """`row` was stored for another reason."""
        self._last, self._axis_ns = row, axis_ns


def _within(before: Value, now: Value, band: float) -> bool:
    if isinstance(before, float | int) and isinstance(now, float | int):
        return abs(now - before) <= band
    return before == now
