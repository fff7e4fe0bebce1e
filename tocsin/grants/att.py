"""The byte each refusal has over the air: an ATT application error (Bluetooth Core 5.4, Vol 3 Part F 3.4.1.1: 0x80-0x9F)."""

from __future__ import annotations

from typing import Final

from tocsin.errors import LockRefusal

ATT_CODES: Final[dict[LockRefusal, int]] = {
    LockRefusal.MALFORMED: 0x80,
    LockRefusal.UNSUPPORTED_VERSION: 0x81,
    LockRefusal.BUSY: 0x82,
    LockRefusal.NO_LIVE_NONCE: 0x83,
    LockRefusal.BAD_SIGNATURE: 0x84,
    LockRefusal.WRONG_LOCK: 0x85,
    LockRefusal.OUTSIDE_WINDOW: 0x86,
    LockRefusal.REVOKED: 0x87,
    LockRefusal.ALREADY_USED: 0x88,
    LockRefusal.BAD_HOLDER_PROOF: 0x89,
    LockRefusal.TIME_UNKNOWN: 0x8A,
    LockRefusal.NOT_ALLOWED: 0x8B,
    LockRefusal.JAMMED_OR_OPEN: 0x8C,
    LockRefusal.BATTERY_LOW: 0x8D,
    LockRefusal.LOCKED_OUT: 0x8E,
    LockRefusal.OCCUPIED: 0x8F,
}
_REFUSALS: Final = {code: refusal for refusal, code in ATT_CODES.items()}


def refusal_of(att_code: int) -> LockRefusal | None:
    """The refusal an ATT error stands for; None where it is not one of ours."""
    return _REFUSALS.get(att_code)
