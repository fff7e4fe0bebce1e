"""When numbers were: a few marks per stream say which run of numbers lies between which times. Pure.

A mark covers numbers that follow one another without a hole, so the edges of a gap are always edges of marks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

MARK_NS = 300 * 10**9  # a mark is closed when its rows span so much
MARK_MIN_NS = 5 * 10**9  # ... but stays open so long after it began, whatever times its rows claim
COARSE_NS = 3600 * 10**9  # old marks are joined up to this


class Mark(msgspec.Struct, frozen=True):
    """Numbers [lo, hi) are of rows stamped `first_ns`..`last_ns`; it began at `since_ns` of the cloud's clock."""

    lo: int
    hi: int
    first_ns: int
    last_ns: int
    since_ns: int = 0


class OpenMarks:
    """The marks of one stream that may still grow. `changed` are those a keeper has not written yet."""

    def __init__(self) -> None:
        self._by_end: dict[int, Mark] = {}
        self.changed: dict[int, Mark] = {}  # by their first number

    def note(self, lo: int, hi: int, first_ns: int, last_ns: int, now_ns: int) -> None:
        """Numbers [lo, hi) were stored, of rows stamped so."""
        before = self._by_end.pop(lo, None)
        if before is None or _is_full(before, now_ns):
            mark = Mark(lo, hi, first_ns, last_ns, now_ns)
        else:
            first, last = min(before.first_ns, first_ns), max(before.last_ns, last_ns)
            mark = Mark(before.lo, hi, first, last, before.since_ns)
        self._by_end[hi] = self.changed[mark.lo] = mark
        if len(self._by_end) > 64:  # runs that nothing continues any more
            oldest = min(self._by_end, key=lambda end: self._by_end[end].since_ns)
            del self._by_end[oldest]

    @property
    def growing(self) -> set[int]:
        """The first numbers of marks that may grow."""
        return {mark.lo for mark in self._by_end.values()}

    def take_changed(self) -> dict[int, Mark]:
        """`changed`, for a keeper that writes them now."""
        changed, self.changed = self.changed, {}
        return changed

    def give_back(self, marks: dict[int, Mark]) -> None:
        """They could not be written."""
        self.changed = marks | self.changed


def _is_full(mark: Mark, now_ns: int) -> bool:
    return mark.last_ns - mark.first_ns >= MARK_NS and now_ns - mark.since_ns >= MARK_MIN_NS


def joined(marks: Iterable[Mark], span_ns: int = COARSE_NS) -> list[Mark]:
    """The same in fewer marks, none of them spanning more than `span_ns` unless it did before."""
    out: list[Mark] = []
    for mark in sorted(marks, key=lambda m: m.lo):
        last = out[-1] if out else None
        if last is not None and last.hi == mark.lo:
            first_ns, last_ns = min(last.first_ns, mark.first_ns), max(last.last_ns, mark.last_ns)
            if last_ns - first_ns <= span_ns:
                out[-1] = replace(last, hi=mark.hi, first_ns=first_ns, last_ns=last_ns)
                continue
        out.append(mark)
    return out


def around(lo: int, hi: int, marks: Sequence[Mark]) -> tuple[int | None, int | None]:
    """When numbers [lo, hi) may have been, by the rows before and after them. `marks` by their numbers."""
    i = bisect_left(marks, lo + 1, key=lambda m: m.lo) - 1
    before = None if i < 0 else _at(marks[i], min(lo, marks[i].hi) - 1)
    j = bisect_left(marks, hi, key=lambda m: m.hi)
    after = None if j == len(marks) else _at(marks[j], max(hi, marks[j].lo))
    if before is not None and after is not None and after < before:  # a clock went back
        before, after = after, before
    return before, after


def _at(mark: Mark, seq: int) -> int:
    rows = max(mark.hi - mark.lo - 1, 1)
    return mark.first_ns + (mark.last_ns - mark.first_ns) * (seq - mark.lo) // rows


def rows_within(marks: Iterable[Mark], from_ns: int, to_ns: int) -> int:
    """How many of the numbers were in [from_ns, to_ns); a mark that crosses an edge counts by its share."""
    return sum(
        part(mark.hi - mark.lo, mark.first_ns, mark.last_ns, from_ns, to_ns) for mark in marks
    )


def part(rows: int, first_ns: int, last_ns: int, from_ns: int, to_ns: int) -> int:
    """The share of `rows`, evenly spread over first..last, that lies in [from_ns, to_ns)."""
    if last_ns < from_ns or first_ns >= to_ns:
        return 0
    if first_ns >= from_ns and last_ns < to_ns:
        return rows
    span = last_ns - first_ns + 1
    shared = min(last_ns + 1, to_ns) - max(first_ns, from_ns)
    return rows * shared // span
