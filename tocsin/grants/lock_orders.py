"""What the cloud tells a lock: the time, what is revoked, the next issuer key. docs/specs/grant.md, section 5.

A lock with signatures (profile B) takes them as COSE_Sign1 with the kind as external data, one without (profile A)
with a MAC of K_order. A gateway holding K_time may tell the time by itself.
"""

from __future__ import annotations

from typing import Final, NoReturn

import msgspec

from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants import cbor
from tocsin.grants.claims import MAX_CTR
from tocsin.grants.fields import octets, uint
from tocsin.grants.issuers import KID_BYTES, IssuerKeys
from tocsin.grants.primitives import KEY_BYTES, MAC_BYTES, is_mac, mac
from tocsin.grants.sign1 import sign1, verified

NONCE_BYTES: Final = 16
MAX_REVOKED: Final = 8  # grants one REVOKE can name
MAX_ERROR_S: Final = 59  # a clock known worse than this tells no time
TIME, REVOKE, ROTATE = b"TIME1", b"RVOK1", b"ROTA1"
_AUD, _IAT, _NONCE, _PRIVATE = 3, 6, 10, -70001
_PRIVATE_PARTS: Final = {TIME: 1, REVOKE: 2, ROTATE: 2}


class TimeOrder(msgspec.Struct, frozen=True):
    """The time, bound to one nonce of the lock: good once, within the nonce's 30 s."""

    lock_id: bytes
    unix_s: int
    nonce: bytes  # 16 bytes, the lock's
    max_error_s: int  # 0-59


class RevokeOrder(msgspec.Struct, frozen=True):
    """What is no longer good. Everything only ever grows, so that an old one does no harm."""

    lock_id: bytes
    min_ctr: int  # grants counted below are revoked
    gateway_epoch: int  # gateway keys of an older epoch are void
    revoked: tuple[tuple[bytes, int], ...] = ()  # single grants: (cti, ctr), at most 8


class RotateOrder(msgspec.Struct, frozen=True):
    """The issuer's next key, signed with the newest one the lock holds (profile B)."""

    lock_id: bytes
    kid: bytes
    key: bytes


Order = TimeOrder | RevokeOrder | RotateOrder


def kind_of(order: Order) -> bytes:
    """TIME, REVOKE or ROTATE."""
    if isinstance(order, TimeOrder):
        return TIME
    return REVOKE if isinstance(order, RevokeOrder) else ROTATE


def encode_order(order: Order) -> bytes:
    """The order's payload. Raises GrantRefusedError for values a lock would not take."""
    payload = _encoded(order)
    decode_order(kind_of(order), payload)
    return payload


def _encoded(order: Order) -> bytes:
    if isinstance(order, TimeOrder):
        return cbor.encode(
            {
                _AUD: order.lock_id,
                _IAT: order.unix_s,
                _NONCE: order.nonce,
                _PRIVATE: [order.max_error_s],
            }
        )
    private: list[cbor.Item]
    if isinstance(order, RevokeOrder):
        private = [
            order.min_ctr,
            order.gateway_epoch,
            *(part for one in order.revoked for part in one),
        ]
    else:
        private = [order.kid, order.key]
    return cbor.encode({_AUD: order.lock_id, _PRIVATE: private})


def signed_order(order: Order, *, kid: bytes, seed: bytes) -> bytes:
    """For a lock of profile B."""
    return sign1(encode_order(order), kid=kid, seed=seed, beside=kind_of(order))


def maced_order(order: TimeOrder | RevokeOrder, key: bytes) -> bytes:
    """For a lock of profile A (`key` is K_order), or the time under a delegated K_time: payload, then a MAC of 16 bytes."""
    payload = encode_order(order)
    return payload + mac(key, kind_of(order), payload)[:MAC_BYTES]


def read_signed(kind: bytes, data: bytes, issuers: IssuerKeys) -> Order:
    """The order of this kind. Raises GrantRefusedError: `malformed`, `bad-signature`."""
    return decode_order(kind, verified(data, issuers, beside=kind))


def read_maced(kind: bytes, data: bytes, key: bytes) -> Order:
    """The order of this kind. Raises GrantRefusedError: `malformed`, `bad-signature`."""
    if len(data) <= MAC_BYTES:
        _refuse(f"an order of {len(data)} bytes")
    payload, presented = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if not is_mac(key, presented, kind, payload):
        raise GrantRefusedError(LockRefusal.BAD_SIGNATURE, "the order's MAC does not hold")
    return decode_order(kind, payload)


def decode_order(kind: bytes, payload: bytes) -> Order:
    """The order a payload says. Raises GrantRefusedError (`malformed`)."""
    found = cbor.decode(payload)
    wanted = {_AUD, _IAT, _NONCE, _PRIVATE} if kind == TIME else {_AUD, _PRIVATE}
    if not isinstance(found, dict) or found.keys() != wanted:
        _refuse(f"the members are not those of {kind.decode()}")
    lock_id = octets(found[_AUD], "aud")
    private = found[_PRIVATE]
    if not isinstance(private, tuple) or len(private) < _PRIVATE_PARTS[kind]:
        _refuse(f"member -70001 is no array of {_PRIVATE_PARTS[kind]}")
    if kind != REVOKE and len(private) != _PRIVATE_PARTS[kind]:
        _refuse(f"member -70001 has more than {_PRIVATE_PARTS[kind]} parts")
    if kind == TIME:
        return TimeOrder(
            lock_id,
            uint(found[_IAT], "iat"),
            octets(found[_NONCE], "nonce", NONCE_BYTES),
            uint(private[0], "max_error_s", 0, MAX_ERROR_S),
        )
    if kind == ROTATE:
        return RotateOrder(
            lock_id, octets(private[0], "kid", KID_BYTES), octets(private[1], "key", KEY_BYTES)
        )
    counter, epoch = uint(private[0], "min_ctr"), uint(private[1], "gateway_epoch")
    return RevokeOrder(lock_id, counter, epoch, _revoked(private[2:]))


def _revoked(found: tuple[cbor.Item, ...]) -> tuple[tuple[bytes, int], ...]:
    """Pairs of cti and ctr, one after the other."""
    if len(found) % 2 or len(found) > 2 * MAX_REVOKED:
        _refuse(f"the revoked grants are not at most {MAX_REVOKED} pairs")
    return tuple(
        (octets(cti, "cti"), uint(ctr, "ctr", 0, MAX_CTR))
        for cti, ctr in zip(found[::2], found[1::2], strict=True)
    )


def _refuse(detail: str) -> NoReturn:
    raise GrantRefusedError(LockRefusal.MALFORMED, detail)
