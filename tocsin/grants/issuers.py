"""The issuer's keys a verifier holds: two at most, so that one can be replaced while the other is in use."""

from __future__ import annotations

from typing import Final, NoReturn

import msgspec

from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.primitives import KEY_BYTES

KID_BYTES: Final = 2
LIVE_KEYS: Final = 2


class IssuerKeys(msgspec.Struct, frozen=True):
    """Ed25519 public keys by key id. Key ids only ever grow (as numbers, big endian)."""

    keys: dict[bytes, bytes]

    def __post_init__(self) -> None:
        if not 1 <= len(self.keys) <= LIVE_KEYS:
            raise ValueError(f"{len(self.keys)} issuer keys, 1 or {LIVE_KEYS} are held")
        for kid, key in self.keys.items():
            if len(kid) != KID_BYTES or len(key) != KEY_BYTES:
                raise ValueError(
                    f"an issuer key has an id of {KID_BYTES} bytes and {KEY_BYTES} bytes"
                )

    @property
    def newest(self) -> bytes:
        """The highest key id."""
        return max(self.keys)

    def key_of(self, kid: bytes) -> bytes:
        """The key. Raises GrantRefusedError (`bad-signature`) for an id that is not held."""
        key = self.keys.get(kid)
        if key is None:
            raise GrantRefusedError(
                LockRefusal.BAD_SIGNATURE, f"issuer key {kid.hex()} is not one of ours"
            )
        return key

    def rotated(self, kid: bytes, key: bytes) -> IssuerKeys:
        """The newest key with a newer one; the older one is forgotten. The same rotation once more changes nothing.

        Raises GrantRefusedError (`revoked`) for an id that is not newer.
        """
        if self.keys.get(kid) == key:
            return self
        if kid <= self.newest:
            _refuse(kid)
        return IssuerKeys({self.newest: self.keys[self.newest], kid: key})


def _refuse(kid: bytes) -> NoReturn:
    raise GrantRefusedError(LockRefusal.REVOKED, f"issuer key {kid.hex()} is not newer than ours")
