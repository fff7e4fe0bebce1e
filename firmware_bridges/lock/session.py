"""What both sides of a session know: CHALLENGE, the session key, sealed bodies. docs/specs/lock.md, section 3."""

from __future__ import annotations

from typing import Final

import msgspec

from firmware_bridges.lock.frames import VERSION, Kind
from firmware_bridges.lock.gatt import Profile, Shown
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.fields import ID_BYTES
from tocsin.grants.primitives import MAC_BYTES, TAG_BYTES, hkdf, is_mac, mac, seal, unseal

NONCE_BYTES: Final = 16
HELLO_BYTES: Final = NONCE_BYTES + ID_BYTES
CHALLENGE_BYTES: Final = 80
COUNTER_BYTES: Final = 4
SEALED_BYTES: Final = COUNTER_BYTES + TAG_BYTES  # what sealing adds to a body
HEADCOUNT_UNKNOWN: Final = 0xFFFF
_TO_LOCK, _TO_CLIENT = b"\x00", b"\x01"


class Challenge(msgspec.Struct, frozen=True):
    """The lock's answer to HELLO. Trustworthy once its MAC was checked: the lock is the one that was commissioned."""

    nonce: bytes
    lock_id: bytes
    profile: Profile
    boot_counter: int
    event_seq: int
    log_head: bytes
    time_s: int  # Unix seconds; 0 where the quality is 0
    time_quality: int
    min_ctr: int
    gateway_epoch: int
    shown: Shown
    battery_percent: int


class Keys(msgspec.Struct, frozen=True):
    """One session's key and how far each direction has counted."""

    key: bytes
    sent: int = 0
    taken: int = 0

    def __repr__(self) -> str:
        return f"Keys(key=***, sent={self.sent}, taken={self.taken})"


def encode_challenge(challenge: Challenge, k_gw: bytes, client_nonce: bytes) -> bytes:
    """80 bytes: 64 of fields, then their MAC."""
    fields = b"".join(
        (
            challenge.nonce,
            challenge.lock_id,
            bytes([challenge.profile]),
            challenge.boot_counter.to_bytes(4, "big"),
            challenge.event_seq.to_bytes(4, "big"),
            challenge.log_head,
            challenge.time_s.to_bytes(4, "big"),
            bytes([challenge.time_quality]),
            challenge.min_ctr.to_bytes(4, "big"),
            challenge.gateway_epoch.to_bytes(4, "big"),
            bytes([challenge.shown, challenge.battery_percent]),
        )
    )
    return fields + mac(k_gw, b"CHAL1", client_nonce, fields)[:MAC_BYTES]


def decode_challenge(body: bytes, k_gw: bytes, client_nonce: bytes) -> Challenge:
    """Raises GrantRefusedError: `malformed`; `bad-signature` where this is not the lock, or knows another gateway epoch."""
    if len(body) != CHALLENGE_BYTES or body[24] not in (Profile.MAC_ONLY, Profile.SIGNATURES):
        raise GrantRefusedError(LockRefusal.MALFORMED, f"a CHALLENGE of {len(body)} bytes")
    fields = body[:-MAC_BYTES]
    if not is_mac(k_gw, body[-MAC_BYTES:], b"CHAL1", client_nonce, fields):
        raise GrantRefusedError(
            LockRefusal.BAD_SIGNATURE,
            f"not the lock this key is for, or its gateway epoch is {_int(fields, 58)} and the key's another",
        )
    return Challenge(
        nonce=fields[:16],
        lock_id=fields[16:24],
        profile=Profile(fields[24]),
        boot_counter=_int(fields, 25),
        event_seq=_int(fields, 29),
        log_head=fields[33:49],
        time_s=_int(fields, 49),
        time_quality=fields[53],
        min_ctr=_int(fields, 54),
        gateway_epoch=_int(fields, 58),
        shown=Shown(fields[62]),
        battery_percent=fields[63],
    )


def epoch_hint(body: bytes) -> int:
    """The gateway epoch a CHALLENGE names before its MAC was checked, to choose the key to check it with; 0 where it is none."""
    return _int(body, 58) if len(body) == CHALLENGE_BYTES else 0


def session_keys(k_gw: bytes, client_nonce: bytes, lock_nonce: bytes) -> Keys:
    """The key of the session that a HELLO and its CHALLENGE began."""
    return Keys(hkdf(k_gw, client_nonce + lock_nonce, b"SESS1"))


def seal_body(keys: Keys, kind: Kind, plain: bytes) -> tuple[Keys, bytes]:
    """counter(4), then `plain` under ChaCha20-Poly1305; the kind is authenticated with it."""
    count = keys.sent + 1
    counter = count.to_bytes(COUNTER_BYTES, "big")
    sealed = seal(keys.key, _nonce(kind, counter), plain, bytes([VERSION, kind]))
    return msgspec.structs.replace(keys, sent=count), counter + sealed


def open_body(keys: Keys, kind: Kind, body: bytes) -> tuple[Keys, bytes]:
    """What the other side sealed. A counter is taken once and only ever grows.

    Raises GrantRefusedError: `malformed`, `bad-signature`.
    """
    if len(body) < SEALED_BYTES:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"a sealed body of {len(body)} bytes")
    counter = body[:COUNTER_BYTES]
    count = int.from_bytes(counter, "big")
    plain = None
    if count > keys.taken:
        sealed = body[COUNTER_BYTES:]
        plain = unseal(keys.key, _nonce(kind, counter), sealed, bytes([VERSION, kind]))
    if plain is None:
        raise GrantRefusedError(LockRefusal.BAD_SIGNATURE, f"{kind.name} is not of this session")
    return msgspec.structs.replace(keys, taken=count), plain


def _nonce(kind: Kind, counter: bytes) -> bytes:
    direction = _TO_LOCK if kind < Kind.CHALLENGE else _TO_CLIENT
    return direction + bytes(7) + counter


def _int(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
