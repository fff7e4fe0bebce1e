"""Messages that come in numbered parts, put together in bounded memory. Pure: the caller tells the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one link, and how patient it is."""

    parts: int = 512
    messages: int = 4
    bytes_total: int = 1 << 20
    wait_s: float = 15.0
    asks: int = 3


class Missing(msgspec.Struct, frozen=True):
    """Parts that did not come."""

    key: Hashable
    total: int
    parts: tuple[int, ...]


class _Set(msgspec.Struct):
    total: int
    last_mono_ns: int
    parts: dict[int, bytes]
    asked: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.parts.values()))


class Parts:
    """One per link. What stays incomplete is asked for `asks` times, then dropped and counted as `parts_dropped`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._limits = limits or Limits()
        self._sets: dict[Hashable, _Set] = {}

    def feed(
        self, key: Hashable, total: int, index: int, data: bytes, mono_ns: int
    ) -> list[bytes] | None:
        """All parts in order once the last one has come; a part that came twice changes nothing."""
        if not 1 <= index <= total <= self._limits.parts:
            self.counts["parts_refused"] += 1
            return None
        one = self._sets.get(key)
        if one is None or one.total != total or one.parts.get(index, data) != data:
            if one is not None:
                self._drop(key)
            while len(self._sets) >= self._limits.messages:
                self._drop(min(self._sets, key=lambda k: self._sets[k].last_mono_ns))
            one = self._sets[key] = _Set(total, mono_ns, {})
        one.parts[index] = data
        one.last_mono_ns = mono_ns
        if len(one.parts) == total:
            del self._sets[key]
            return [one.parts[n] for n in range(1, total + 1)]
        while sum(s.size for s in self._sets.values()) > self._limits.bytes_total:
            self._drop(max(self._sets, key=lambda k: self._sets[k].size))
        return None

    def missing(self, mono_ns: int) -> list[Missing]:
        """Sets nothing came for in `wait_s`: what to ask for; those asked for too often are given up."""
        asked: list[Missing] = []
        for key, one in list(self._sets.items()):
            if mono_ns - one.last_mono_ns < self._limits.wait_s * 1e9:
                continue
            if one.asked >= self._limits.asks:
                self._drop(key)
                continue
            one.asked += 1
            one.last_mono_ns = mono_ns
            absent = (n for n in range(1, one.total + 1) if n not in one.parts)
            asked.append(Missing(key, one.total, tuple(absent)))
        return asked

    def _drop(self, key: Hashable) -> None:
        self.counts["parts_dropped"] += len(self._sets.pop(key).parts)
