"""Messages in frames that fit one write or one notification, whatever the MTU. docs/specs/lock.md, section 2.

A frame is version(1) kind(1) message(1) part(1) length(2), then a part of the body. `part` counts from 0, its highest bit
marks the last one; `length` is the whole body's, so that a part that was cut or lost on the way shows.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NoReturn

import msgspec

from tocsin.errors import GrantRefusedError, LockRefusal

VERSION: Final = 1
HEADER_BYTES: Final = 6
MIN_FRAME_BYTES: Final = 20  # ATT_MTU 23
MAX_FRAME_BYTES: Final = 244  # ATT_MTU 247
MAX_BODY_BYTES: Final = 640
_LAST: Final = 0x80


class Kind(IntEnum):
    """Kinds of message. Up to 0x7F from client to lock, from 0x80 on back."""

    HELLO = 0x01
    GRANT = 0x02
    PROVE = 0x03
    UNLOCK_A = 0x04
    RELOCK = 0x05
    TIME = 0x06
    REVOKE = 0x07
    GETLOG = 0x08
    ACKLOG = 0x09
    RESCUE = 0x0A
    ROTATE = 0x0B
    CHALLENGE = 0x81
    RESULT = 0x82
    LOGPAGE = 0x83
    EVENT = 0x84


class Message(msgspec.Struct, frozen=True):
    """One whole message."""

    kind: Kind
    body: bytes


class Partial(msgspec.Struct, frozen=True):
    """The parts of a message that came so far."""

    kind: Kind
    message: int
    length: int
    parts: int
    body: bytes


def split(kind: Kind, body: bytes, frame_bytes: int, message: int = 0) -> list[bytes]:
    """The frames of a message, none longer than `frame_bytes` (20 to 244: the MTU less 3). `message` tells two apart."""
    if not MIN_FRAME_BYTES <= frame_bytes <= MAX_FRAME_BYTES or len(body) > MAX_BODY_BYTES:
        raise ValueError(f"{len(body)} bytes do not go into frames of {frame_bytes}")
    room = frame_bytes - HEADER_BYTES
    pieces = [body[at : at + room] for at in range(0, len(body), room)] or [b""]
    length = len(body).to_bytes(2, "big")
    last = len(pieces) - 1
    return [
        bytes([VERSION, kind, message & 0xFF, number | (_LAST if number == last else 0)])
        + length
        + piece
        for number, piece in enumerate(pieces)
    ]


def joined(before: Partial | None, frame: bytes) -> Partial | Message:
    """What is there after one more frame. The first part of a message may come at any time; what was begun is dropped.

    Raises GrantRefusedError (`malformed`, `unsupported-version`); the caller drops what was begun.
    """
    if frame[:1] not in (b"", bytes([VERSION])):
        raise GrantRefusedError(LockRefusal.UNSUPPORTED_VERSION, f"a frame of version {frame[0]}")
    if not HEADER_BYTES <= len(frame) <= MAX_FRAME_BYTES:
        _refuse(f"a frame of {len(frame)} bytes, {HEADER_BYTES} to {MAX_FRAME_BYTES} are possible")
    kind, number = _kind(frame[1]), frame[3] & ~_LAST
    length, piece = int.from_bytes(frame[4:6], "big"), frame[HEADER_BYTES:]
    if length > MAX_BODY_BYTES:
        _refuse(f"a body of {length} bytes is announced, at most {MAX_BODY_BYTES} are taken")
    if number == 0:
        before = Partial(kind, frame[2], length, 0, b"")
    elif before is None or (before.kind, before.message, before.length, before.parts) != (
        kind,
        frame[2],
        length,
        number,
    ):
        _refuse(f"part {number} of message {frame[2]} follows nothing it belongs to")
    body = before.body + piece
    is_last = bool(frame[3] & _LAST)
    if len(body) > length or is_last != (len(body) == length):
        _refuse(f"{len(body)} bytes with part {number} of {length}")
    if not is_last:
        return Partial(kind, frame[2], length, number + 1, body)
    return Message(kind, body)


def _kind(number: int) -> Kind:
    try:
        return Kind(number)
    except ValueError:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"no kind {number:#04x}") from None


def _refuse(detail: str) -> NoReturn:
    raise GrantRefusedError(LockRefusal.MALFORMED, detail)
