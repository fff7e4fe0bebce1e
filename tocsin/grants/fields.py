"""The fields of claims and orders: byte strings of one length, unsigned integers of 32 bits."""

from __future__ import annotations

from typing import Final

from tocsin.errors import GrantRefusedError, LockRefusal

ID_BYTES: Final = 8  # of a grant, a holder, a lock, a permit, a gateway
_UINT32: Final = 1 << 32


def octets(value: object, name: str, size: int = ID_BYTES) -> bytes:
    """`value`, a byte string of `size` bytes. Raises GrantRefusedError (`malformed`)."""
    if not isinstance(value, bytes) or len(value) != size:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"{name} is no byte string of {size}")
    return value


def uint(value: object, name: str, least: int = 0, most: int = _UINT32 - 1) -> int:
    """`value`, an integer from `least` to `most`. Raises GrantRefusedError (`malformed`)."""
    if not isinstance(value, int) or not least <= value <= most:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"{name} is no integer of {least} to {most}")
    return value
