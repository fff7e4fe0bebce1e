"""Sets of sequence numbers kept as sorted, disjoint, half-open ranges [lo, hi)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """Mutable; adding costs O(log n) plus what it merges. The normal case is one range that grows at its end."""

    __slots__ = ("_hi", "_lo")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._lo: list[int] = []
        self._hi: list[int] = []
        for lo, hi in ranges:
            self.add(lo, hi)

    def add(self, lo: int, hi: int) -> None:
        """Add [lo, hi); empty ranges change nothing."""
        if lo >= hi:
            return
        first = bisect_left(self._hi, lo)
        last = bisect_right(self._lo, hi)
        if first < last:
            lo, hi = min(lo, self._lo[first]), max(hi, self._hi[last - 1])
        self._lo[first:last] = [lo]
        self._hi[first:last] = [hi]

    def take(self, lo: int, hi: int) -> bool:
        """Add [lo, hi), which is not empty, if none of it is in the set; whether it was."""
        los, his = self._lo, self._hi
        at = bisect_right(his, lo)
        if at < len(los) and los[at] < hi:
            return False
        before, after = at > 0 and his[at - 1] == lo, at < len(los) and los[at] == hi
        if before and after:
            his[at - 1] = his.pop(at)
            del los[at]
        elif before:
            his[at - 1] = hi
        elif after:
            los[at] = lo
        else:
            los.insert(at, lo)
            his.insert(at, hi)
        return True

    def remove(self, lo: int, hi: int) -> None:
        """Take [lo, hi) out; what is not in the set changes nothing."""
        first = bisect_right(self._hi, lo)
        last = bisect_left(self._lo, hi)
        if lo >= hi or first >= last:
            return
        left, right = self._lo[first], self._hi[last - 1]
        rest = [(a, b) for a, b in ((left, lo), (hi, right)) if a < b]
        self._lo[first:last] = [a for a, _ in rest]
        self._hi[first:last] = [b for _, b in rest]

    def missing(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """The parts of [lo, hi) that are not in the set."""
        out: list[tuple[int, int]] = []
        at = lo
        for i in range(bisect_right(self._hi, lo), len(self._lo)):
            if self._lo[i] >= hi:
                break
            if self._lo[i] > at:
                out.append((at, self._lo[i]))
            at = max(at, self._hi[i])
        if at < hi:
            out.append((at, hi))
        return out

    def within(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """The parts of [lo, hi) that are in the set."""
        return RangeSet(self.missing(lo, hi)).missing(lo, hi)

    def contiguous_from(self, start: int) -> int:
        """The first number >= start that is not in the set."""
        i = bisect_right(self._lo, start) - 1
        return max(start, self._hi[i]) if i >= 0 else start

    def __contains__(self, seq: int) -> bool:
        i = bisect_right(self._lo, seq) - 1
        return i >= 0 and seq < self._hi[i]

    @property
    def count(self) -> int:
        """How many numbers the set holds. Not `len`: `list` would make room for that many ranges."""
        return sum(self._hi) - sum(self._lo)

    @property
    def end(self) -> int:
        """One past the greatest number in the set; 0 when it is empty."""
        return self._hi[-1] if self._hi else 0

    def __bool__(self) -> bool:
        return bool(self._lo)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._lo, self._hi, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # a mutable set must not be a key
