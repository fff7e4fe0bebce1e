"""Spoils frames: turned bits, cuts, doubled and foreign pieces, lies about lengths; the same from the same seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from tocsin.sdk.codec import Examples, FrameInput, Kind

MAX_BYTES = 4096
_LIES = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, 0x100, 0x3FF, 0x400, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
# What stands where a JSON text has something else.
_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 2**63, 2**70, 10**400, "", "x" * 300, "\x00", "2026-13-99T99:99:99Z", [], {}, [[]], {"": {}}, [None] * 40,
)  # fmt: skip
_KINDS: tuple[Kind | None, ...] = (None, "rtu", "tcp", "frame", "app_data")


class Mutator:
    """Endless frames from a codec's examples; without any, random bytes alone."""

    def __init__(self, examples: Examples, seed: int) -> None:
        self.random = Random(seed)
        self._examples = examples
        self._ways: tuple[Callable[[bytearray], None], ...] = (
            self._turn_bit,
            self._set_byte,
            self._cut_off,
            self._cut_out,
            self._double,
            self._splice,
            self._lie,
            self._insert,
        )

    def frame(self) -> FrameInput:
        """One spoilt frame; one of 16 is random bytes, two of five are sealed after they were spoilt."""
        random = self.random
        if not self._examples.frames or random.random() < 1 / 16:
            return FrameInput(random.randbytes(random.choice((0, 1, 7, 40, 300))))
        given = random.choice(self._examples.frames)
        data = bytearray(given.data)
        if given.data[:1] in (b"{", b"[") and random.random() < 0.5:
            data = bytearray(self._odd_leaf(given.data))
        whole = data != given.data and random.random() < 0.7  # an odd value is enough
        for _ in range(0 if whole else random.choice((1, 1, 2, 3, 8))):
            random.choice(self._ways)(data)
        kind = random.choice(_KINDS) if random.random() < 1 / 16 else given.kind
        spoilt = FrameInput(bytes(data[:MAX_BYTES]), kind, given.device, random.random() < 0.5)
        if self._examples.seal is not None and random.random() < 0.4:
            return msgspec.structs.replace(spoilt, data=self._examples.seal(spoilt))
        return spoilt

    def chunk(self) -> bytes:
        """A piece of a stream: sound and spoilt frames one after another, cut anywhere."""
        random = self.random
        frames = self._examples.frames
        pieces = [
            random.choice(frames).data if frames and random.random() < 0.5 else self.frame().data
            for _ in range(random.choice((1, 1, 2, 4)))
        ]
        data = b"".join(pieces)
        start = random.randrange(len(data) + 1) if random.random() < 0.3 else 0
        return data[start:] if random.random() < 0.5 else data[: random.randrange(len(data) + 1)]

    def _odd_leaf(self, text: bytes) -> bytes:
        """A JSON text with another value in one place."""
        try:
            whole = json.loads(text)
        except ValueError:
            return text
        at = whole
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                return text
            key = self.random.choice(keys)
            if not isinstance(at[key], dict | list) or self.random.random() < 0.2:
                break
            at = at[key]
        if self.random.random() < 0.15:
            del at[key]
        else:
            at[key] = self.random.choice(_ODD)
        return json.dumps(whole).encode() + text[len(text.rstrip()) :]

    def _at(self, data: bytearray) -> int:
        return self.random.randrange(len(data) + 1)

    def _turn_bit(self, data: bytearray) -> None:
        if data:
            data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)

    def _set_byte(self, data: bytearray) -> None:
        if data:
            data[self.random.randrange(len(data))] = self.random.randrange(256)

    def _cut_off(self, data: bytearray) -> None:
        del data[self._at(data) :]

    def _cut_out(self, data: bytearray) -> None:
        at = self._at(data)
        del data[at : at + self.random.randrange(1, 9)]

    def _double(self, data: bytearray) -> None:
        at = self._at(data)
        piece = data[at : at + self.random.randrange(1, 40)]
        data[at:at] = piece * self.random.choice((1, 1, 2, 50))

    def _splice(self, data: bytearray) -> None:
        other = self.random.choice(self._examples.frames).data
        data[self._at(data) :] = other[self.random.randrange(len(other) + 1) :]

    def _lie(self, data: bytearray) -> None:
        """A number where a length may stand, of one or two bytes, of either end."""
        lie, size = self.random.choice(_LIES), self.random.choice((1, 2))
        at = self._at(data)
        end = self.random.choice(("big", "little"))
        data[at : at + size] = (lie & (0xFFFF if size == 2 else 0xFF)).to_bytes(
            size, "big" if end == "big" else "little"
        )

    def _insert(self, data: bytearray) -> None:
        at = self._at(data)
        data[at:at] = self.random.randbytes(self.random.choice((1, 2, 4, 30)))
