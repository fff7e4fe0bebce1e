"""PINs by which people are known at a gateway whose cloud is away: kept as scrypt (RFC 7914) text, never as themselves."""

from __future__ import annotations

import hashlib
import hmac

SALT_BYTES = 16
_LOG_N, _R, _P = 14, 8, 1  # 16 MiB and some 50 ms each: a PIN is short
_BYTES = 32


def hash_pin(pin: str, salt: bytes) -> str:
    """`scrypt$14$8$1$salt$hash`, the last two in hex; `salt` is 16 fresh random bytes."""
    return f"scrypt${_LOG_N}${_R}${_P}${salt.hex()}${_derived(pin, salt).hex()}"


def is_pin(kept: str, pin: str) -> bool:
    """Whether this is the PIN; False for text that is not of this form, among it the empty one."""
    head, _, rest = kept.rpartition(f"scrypt${_LOG_N}${_R}${_P}$")
    salt, _, wanted = rest.partition("$")
    try:
        found = _derived(pin, bytes.fromhex(salt)).hex()
    except ValueError:
        return False
    return not head and bool(salt) and hmac.compare_digest(found.encode(), wanted.encode())


def _derived(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=1 << _LOG_N, r=_R, p=_P, dklen=_BYTES)
