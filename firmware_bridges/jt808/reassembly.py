"""Parts of long messages put together again, within limits of number, size and time (2019 edition, clause 4.4.3)."""

from __future__ import annotations

from collections import Counter

import msgspec

from firmware_bridges.jt808.frames import Frame, Header


class Limits(msgspec.Struct, frozen=True):
    """What one link may hold at once."""

    parts: int = 512
    bytes_total: int = 524_288
    messages: int = 4
    wait_s: float = 30.0
    asks: int = 3


class Whole(msgspec.Struct, frozen=True):
    """A message whose parts are all there; `serials` are those of its parts, in order."""

    header: Header
    body: bytes
    serials: tuple[int, ...]


class Missing(msgspec.Struct, frozen=True):
    """Parts to ask for again with 0x8003 or 0x0005; `serial` is that of the first part."""

    msg_id: int
    serial: int
    parts: tuple[int, ...]


class _Set(msgspec.Struct):
    total: int
    last_mono_ns: int
    parts: dict[int, Frame]
    asked: int = 0

    @property
    def size(self) -> int:
        return sum(len(frame.body) for frame in self.parts.values())


class Reassembler:
    """One per link. A set that stays incomplete is asked for `asks` times, then dropped and counted."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._limits = limits or Limits()
        self._sets: dict[int, _Set] = {}

    def feed(self, frame: Frame, mono_ns: int) -> Whole | None:
        """The whole message once its last part has come; a part that came twice changes nothing."""
        header = frame.header
        if not header.parted:
            return Whole(header, frame.body, (header.serial,))
        if not 1 <= header.index <= header.total <= self._limits.parts:
            self.counts["parts_refused"] += 1
            return None
        parts = self._sets.get(header.msg_id)
        if parts is None or not _belongs(parts, frame):
            if parts is not None:
                self.counts["parts_dropped"] += len(parts.parts)
                del self._sets[header.msg_id]
            self._make_room()
            parts = self._sets[header.msg_id] = _Set(header.total, mono_ns, {})
        parts.parts[header.index] = frame
        parts.last_mono_ns = mono_ns
        if len(parts.parts) == parts.total:
            return self._whole(header.msg_id)
        self._bound()
        return None

    def missing(self, mono_ns: int) -> list[Missing]:
        """Sets nothing came for in `wait_s`: what to ask for; those asked for too often are given up."""
        asked: list[Missing] = []
        for msg_id, parts in list(self._sets.items()):
            if mono_ns - parts.last_mono_ns < self._limits.wait_s * 1e9:
                continue
            if parts.asked >= self._limits.asks:
                self._drop(msg_id)
                continue
            parts.asked += 1
            parts.last_mono_ns = mono_ns
            index, frame = next(iter(parts.parts.items()))
            absent = (n for n in range(1, parts.total + 1) if n not in parts.parts)
            asked.append(
                Missing(msg_id, (frame.header.serial - index + 1) & 0xFFFF, tuple(absent)[:255])
            )
        return asked

    def _whole(self, msg_id: int) -> Whole:
        parts = self._sets.pop(msg_id)
        frames = [parts.parts[n] for n in range(1, parts.total + 1)]
        header = msgspec.structs.replace(frames[0].header, parted=False, total=0, index=0)
        body = b"".join(frame.body for frame in frames)
        return Whole(header, body, tuple(frame.header.serial for frame in frames))

    def _make_room(self) -> None:
        while len(self._sets) >= self._limits.messages:
            self._drop(min(self._sets, key=lambda key: self._sets[key].last_mono_ns))

    def _bound(self) -> None:
        while sum(parts.size for parts in self._sets.values()) > self._limits.bytes_total:
            self._drop(max(self._sets, key=lambda key: self._sets[key].size))

    def _drop(self, msg_id: int) -> None:
        self.counts["parts_dropped"] += len(self._sets.pop(msg_id).parts)


def _belongs(parts: _Set, frame: Frame) -> bool:
    """Same number of parts, and no other bytes under an index that came before."""
    there = parts.parts.get(frame.header.index)
    return parts.total == frame.header.total and (there is None or there.body == frame.body)
