"""What is derived from a lock's own key, and how a secret travels to one gateway."""

from __future__ import annotations

from typing import Final

from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.primitives import (
    KEY_BYTES,
    TAG_BYTES,
    exchange,
    exchange_public,
    hkdf,
    mac,
    seal,
    unseal,
)

DELEGATION_S: Final = 24 * 3600  # longest span of a delegated time key
SEALED_KEY_BYTES: Final = KEY_BYTES + KEY_BYTES + TAG_BYTES
_NO_NONCE: Final = bytes(12)  # each sealing has a key of its own


def gateway_key(lock_key: bytes, gateway_id: bytes, epoch: int) -> bytes:
    """K_gw: one gateway's key for one lock. A lock whose gateway epoch was raised knows no older one."""
    return mac(lock_key, b"GW1", epoch.to_bytes(4, "big"), gateway_id)


def order_key(lock_key: bytes) -> bytes:
    """K_order: the cloud's own key for TIME and REVOKE to a lock without signatures (profile A). No gateway has it."""
    return mac(lock_key, b"ORDER1")


def advert_key(lock_key: bytes) -> bytes:
    """K_adv: lets the site's gateways tell which lock advertises; opens nothing."""
    return mac(lock_key, b"ADV1")


def time_key(lock_key: bytes, gateway_id: bytes, from_s: int, until_s: int) -> bytes:
    """K_time: lets one gateway tell one lock the time from `from_s` to `until_s` (Unix seconds), with the cloud gone.

    Raises ValueError for a span over DELEGATION_S.
    """
    if not 0 < until_s - from_s <= DELEGATION_S:
        raise ValueError(f"a time key for {until_s - from_s} s, at most {DELEGATION_S} s")
    span = from_s.to_bytes(4, "big") + until_s.to_bytes(4, "big")
    return mac(lock_key, b"TIMED1", gateway_id, span)


def seal_for_gateway(secret: bytes, gateway_public: bytes, *, context: bytes, once: bytes) -> bytes:
    """`secret` (a K_grant, K_gw or K_time) for one gateway's X25519 key; `once` is a fresh private key of 32 bytes.

    The result is the fresh public key, then ChaCha20-Poly1305 under HKDF(shared secret, salt = both public keys).
    `context` says what it is, and must be said again to open it. Raises ValueError for an unusable public key.
    """
    fresh = exchange_public(once)
    shared = exchange(once, gateway_public)
    if shared is None:
        raise ValueError("the gateway's public key is of small order")
    key = hkdf(shared, fresh + gateway_public, b"SEAL1" + context)
    return fresh + seal(key, _NO_NONCE, secret, context)


def open_sealed(sealed: bytes, gateway_private: bytes, *, context: bytes) -> bytes:
    """What `seal_for_gateway` sealed. Raises GrantRefusedError: `malformed`, `bad-signature`."""
    if len(sealed) <= KEY_BYTES + TAG_BYTES:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"a sealed secret of {len(sealed)} bytes")
    fresh = sealed[:KEY_BYTES]
    shared = exchange(gateway_private, fresh)
    if shared is not None:
        key = hkdf(shared, fresh + exchange_public(gateway_private), b"SEAL1" + context)
        secret = unseal(key, _NO_NONCE, sealed[KEY_BYTES:], context)
        if secret is not None:
            return secret
    raise GrantRefusedError(LockRefusal.BAD_SIGNATURE, "sealed for another, or changed")
