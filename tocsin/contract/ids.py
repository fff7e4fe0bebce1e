"""ULIDs: 26 characters of Crockford base32, 48 bits of Unix milliseconds and 80 random bits (github.com/ulid/spec)."""

from __future__ import annotations

import os

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARS = frozenset(_ALPHABET)
NO_STREAM = "0" * 26


def ulid(now_ns: int) -> str:
    """A new id that sorts by `now_ns` (UTC)."""
    number = ((now_ns // 1_000_000) & ((1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10))
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -5, -5))


def is_ulid(text: str) -> bool:
    """Whether `text` has the form of a ULID."""
    return len(text) == 26 and _CHARS.issuperset(text) and text[0] <= "7"


def time_of(text: str) -> int | None:
    """When a ULID was made, in ns; None when `text` is none."""
    if not is_ulid(text):
        return None
    number = 0
    for char in text[:10]:
        number = number << 5 | _ALPHABET.index(char)
    return number * 1_000_000
