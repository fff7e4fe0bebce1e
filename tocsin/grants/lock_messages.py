"""What cloud and gateway tell one another about one lock's orders.

The cloud repeats all orders that a lock has not answered until their results come; the gateway keeps them on disk until
then. Doing one twice does no harm: everything that a REVOKE or ROTATE says only ever grows.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

import msgspec

VERSION = 1
DOWN = "lock"  # the class of `down/`: LockDown, signed with the gateway's command key
UP = "lock.orders"  # kind of the event that carries a LockUp
NONCE = "lock.nonce"  # kind of the event that carries a LockNonce
OrderKind = Literal["revoke", "rotate", "time"]
Form = Literal["signed", "maced"]
Outcome = Literal["taken", "refused"]


class LockOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """One order (docs/specs/grant.md, section 5). A TIME has its bytes only in answer to a `LockNonce`."""

    id: str
    kind: OrderKind
    form: Form = "signed"
    order: bytes = b""
    nonce: bytes = b""  # the lock's, of a TIME


class SealedGatewayKey(msgspec.Struct, frozen=True):
    """K_gw of one epoch, sealed to the gateway: after a REVOKE raised the epoch it speaks to the lock with this one."""

    epoch: int
    sealed: bytes


class LockDown(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every order that one lock has not answered, the oldest first. `lock` is its device id at the gateway."""

    v: int
    gateway: str
    lock: str
    lock_id: bytes
    orders: tuple[LockOrder, ...] = ()
    keys: tuple[SealedGatewayKey, ...] = ()
    sig: str = ""


class OrderResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of one order. `reason` is a LockRefusal, `event_seq` the lock's newest event, `at_ns` the gateway's clock."""

    id: str
    outcome: Outcome
    at_ns: int
    reason: str = ""
    event_seq: int = 0


class LockUp(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which orders a gateway keeps on disk, and what came of those that the lock has answered."""

    v: int
    lock_id: str  # hex
    kept: tuple[str, ...] = ()
    results: tuple[OrderResult, ...] = ()


class LockNonce(msgspec.Struct, frozen=True):
    """A session with the lock waits a few seconds for the TIME order `id`, bound to this nonce. Hex."""

    v: int
    lock_id: str
    id: str
    nonce: str


_encoder = msgspec.json.Encoder(order="sorted")


def key_context(lock_id: bytes, epoch: int) -> bytes:
    """What the seal of a `SealedGatewayKey` is bound to."""
    return b"k_gw " + lock_id + epoch.to_bytes(4, "big")


def sign_lock_down(down: LockDown, key: bytes) -> LockDown:
    """The message with its signature: HMAC-SHA-256 over the JSON with an empty `sig`."""
    return msgspec.structs.replace(down, sig=_digest(down, key))


def is_signed_lock_down(down: LockDown, key: bytes) -> bool:
    """Whether the signature fits; False for an empty key."""
    claimed = down.sig.encode("utf-8", "replace")
    return bool(key) and hmac.compare_digest(claimed, _digest(down, key).encode())


def _digest(down: LockDown, key: bytes) -> str:
    body = _encoder.encode(msgspec.structs.replace(down, sig=""))
    return hmac.new(key, b"lock\n" + body, hashlib.sha256).hexdigest()
