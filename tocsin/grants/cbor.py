"""Deterministic CBOR (RFC 8949, 4.2.1): the few types grants are made of. What is not in the one right form is refused.

Unsigned and negative integers of 64 bits, byte strings, arrays, maps with integer keys, tags. No text, floats,
simple values or indefinite lengths: grants have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, TypeAlias

import msgspec

from tocsin.errors import GrantRefusedError, LockRefusal

MAX_BYTES: Final = 512  # longest input that is looked at
MAX_DEPTH: Final = 4  # containers and tags inside one another
_UNSIGNED, _NEGATIVE, _BYTES, _ARRAY, _MAP, _TAG = 0, 1, 2, 4, 5, 6


class Tagged(msgspec.Struct, frozen=True):
    """A value with its tag number."""

    tag: int
    value: Item


Item: TypeAlias = "int | bytes | Sequence[Item] | Mapping[int, Item] | Tagged"


def encode(item: Item) -> bytes:
    """The one deterministic form of `item`. Raises ValueError for what grants have no place for."""
    if isinstance(item, bool) or item is None:
        raise ValueError(f"{item!r} has no place in a grant")
    if isinstance(item, int):
        return _head(_UNSIGNED, item) if item >= 0 else _head(_NEGATIVE, -1 - item)
    if isinstance(item, bytes):
        return _head(_BYTES, len(item)) + item
    if isinstance(item, Tagged):
        return _head(_TAG, item.tag) + encode(item.value)
    if isinstance(item, Mapping):
        pairs = sorted((encode(key), encode(value)) for key, value in item.items())
        return _head(_MAP, len(pairs)) + b"".join(key + value for key, value in pairs)
    return _head(_ARRAY, len(item)) + b"".join(encode(part) for part in item)


def decode(data: bytes) -> Item:
    """The one item `data` consists of; arrays come as tuples, maps as dicts.

    Raises GrantRefusedError (`malformed`) with the offset for anything else: other types, longer forms of a number,
    keys out of order or doubled, trailing bytes, more than MAX_BYTES or MAX_DEPTH.
    """
    if len(data) > MAX_BYTES:
        _refuse(f"{len(data)} bytes, at most {MAX_BYTES} are read")
    item, end = _item(data, 0, MAX_DEPTH)
    if end != len(data):
        _refuse(f"{len(data) - end} bytes follow the end at byte {end}")
    return item


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | code]) + value.to_bytes(size, "big")
    raise ValueError(f"{value} does not fit 64 bits")


def _item(data: bytes, at: int, depth: int) -> tuple[Item, int]:
    if depth == 0:
        _refuse(f"more than {MAX_DEPTH} levels at byte {at}")
    major, value, at = _number(data, at)
    if major == _UNSIGNED:
        return value, at
    if major == _NEGATIVE:
        return -1 - value, at
    if major == _BYTES:
        if at + value > len(data):
            _refuse(f"a byte string of {value} bytes is cut short at byte {at}")
        return data[at : at + value], at + value
    if major == _TAG:
        inner, at = _item(data, at, depth - 1)
        return Tagged(value, inner), at
    if value > len(data) - at:  # each member has at least one byte
        _refuse(f"{value} members are promised at byte {at}, too many for what follows")
    return _array(data, at, value, depth) if major == _ARRAY else _map(data, at, value, depth)


def _array(data: bytes, at: int, count: int, depth: int) -> tuple[Item, int]:
    parts: list[Item] = []
    for _ in range(count):
        part, at = _item(data, at, depth - 1)
        parts.append(part)
    return tuple(parts), at


def _map(data: bytes, at: int, count: int, depth: int) -> tuple[Item, int]:
    pairs: dict[int, Item] = {}
    before = b""
    for _ in range(count):
        start = at
        key, at = _item(data, at, depth - 1)
        if not isinstance(key, int):
            _refuse(f"the key at byte {start} is no integer")
        if data[start:at] <= before:
            _refuse(f"the key at byte {start} is out of order or doubled")
        before = data[start:at]
        pairs[key], at = _item(data, at, depth - 1)
    return pairs, at


def _number(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument and where it ends."""
    if at >= len(data):
        _refuse(f"cut short at byte {at}")
    major, short = data[at] >> 5, data[at] & 31
    if major not in (_UNSIGNED, _NEGATIVE, _BYTES, _ARRAY, _MAP, _TAG) or short > 27:
        _refuse(f"byte {at} begins something grants have no place for")
    if short < 24:
        return major, short, at + 1
    size = 1 << short - 24
    end = at + 1 + size
    if end > len(data):
        _refuse(f"cut short at byte {at}")
    value = int.from_bytes(data[at + 1 : end], "big")
    if value < 24 or (size > 1 and value < 1 << 4 * size):
        _refuse(f"the number at byte {at} has a shorter form")
    return major, value, end


def _refuse(detail: str) -> NoReturn:
    raise GrantRefusedError(LockRefusal.MALFORMED, detail)
