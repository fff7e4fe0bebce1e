"""The client's side of a session: builds each message, reads each answer. Pure; docs/specs/lock.md, section 4.

opening = hello(gateway_id, client_nonce)          # random, 16 bytes; send, wait for CHALLENGE on RSP
session = opened(challenge_body, gateway_id, k_gw, client_nonce)
session, message = grant(session, raw)             # send; await RESULT on RSP, or the write's ATT error
session, message = prove(session, holder_public, signature)
session, result = read_result(session, message)
"""

from __future__ import annotations

from typing import Final

import msgspec

from firmware_bridges.lock.frames import Kind, Message
from firmware_bridges.lock.gatt import Shown
from firmware_bridges.lock.session import (
    Challenge,
    Keys,
    decode_challenge,
    open_body,
    seal_body,
    session_keys,
)
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.grant import PROOF_RESCUE, PROOF_UNLOCK
from tocsin.grants.lock_log import HEAD_BYTES, decode_event
from tocsin.grants.primitives import MAC_BYTES, mac

RESULT_BYTES: Final = 22
EVENT_BYTES: Final = 6
MAX_PAGE_EVENTS: Final = 16
SIGNED, MACED, DELEGATED = (
    b"\x01",
    b"\x02",
    b"\x03",
)  # forms of an order: the cloud's, profile B and A; K_time's


class Session(msgspec.Struct, frozen=True):
    """A session with a lock whose CHALLENGE was checked."""

    gateway_id: bytes
    challenge: Challenge
    keys: Keys


class Result(msgspec.Struct, frozen=True):
    """The answer to one message that was not refused outright."""

    kind: Kind  # of the message answered
    code: int  # 0, or an ATT code: the bolt did not move
    event_seq: int
    log_head: bytes


class LogPage(msgspec.Struct, frozen=True):
    """Events of the lock's log, as bytes, oldest first; `head` is the one before the first."""

    first_seq: int
    head: bytes
    events: tuple[bytes, ...]


class StateNews(msgspec.Struct, frozen=True):
    """Something changed at the lock by itself: pull the log."""

    shown: Shown
    battery_percent: int
    event_seq: int


def hello(gateway_id: bytes, client_nonce: bytes) -> Message:
    """Begins a session. `client_nonce` is 16 fresh random bytes."""
    return Message(Kind.HELLO, client_nonce + gateway_id)


def opened(body: bytes, gateway_id: bytes, k_gw: bytes, client_nonce: bytes) -> Session:
    """The session a CHALLENGE opens. Send nothing further where this raises GrantRefusedError: it is not our lock."""
    challenge = decode_challenge(body, k_gw, client_nonce)
    return Session(gateway_id, challenge, session_keys(k_gw, client_nonce, challenge.nonce))


def grant(session: Session, raw: bytes) -> tuple[Session, Message]:
    """Profile B: the grant, before PROVE."""
    return _sealed(session, Kind.GRANT, raw)


def prove(session: Session, public: bytes, signature: bytes) -> tuple[Session, Message]:
    """Profile B: the holder's key and signature over `holder_message(PROOF_UNLOCK, challenge.nonce, ...)`."""
    return _sealed(session, Kind.PROVE, public + signature)


def unlock_a(session: Session, claims: bytes, k_grant: bytes) -> tuple[Session, Message]:
    """Profile A: the exact claims and the proof that we were given their key."""
    proof = _capability_proof(session, k_grant, PROOF_UNLOCK)
    return _sealed(session, Kind.UNLOCK_A, claims + proof)


def relock(session: Session, cti: bytes, headcount: int) -> tuple[Session, Message]:
    """Lock again under a grant that opened here; the session's seal is the gateway's word that `headcount` are inside."""
    return _sealed(session, Kind.RELOCK, cti + headcount.to_bytes(2, "big"))


def tell_time(session: Session, form: bytes, order: bytes) -> tuple[Session, Message]:
    """A TIME order; `form` is SIGNED, MACED or DELEGATED. A delegated one is from(4) until(4) order."""
    return _sealed(session, Kind.TIME, form + order)


def revoke(session: Session, form: bytes, order: bytes) -> tuple[Session, Message]:
    """A REVOKE order; `form` is SIGNED or MACED."""
    return _sealed(session, Kind.REVOKE, form + order)


def rotate(session: Session, order: bytes) -> tuple[Session, Message]:
    """A ROTATE order (profile B)."""
    return _sealed(session, Kind.ROTATE, SIGNED + order)


def rescue(
    session: Session, first: tuple[bytes, bytes], second: tuple[bytes, bytes]
) -> tuple[Session, Message]:
    """Two holders' rescue grants, each with its proof.

    Profile B: (grant, public key + signature over PROOF_RESCUE). Profile A: (claims, `rescue_proof_a`).
    """
    body = b"".join(bytes([len(one)]) + one + proof for one, proof in (first, second))
    return _sealed(session, Kind.RESCUE, body)


def rescue_proof_a(session: Session, k_grant: bytes) -> bytes:
    """Profile A: the proof that goes with rescue claims."""
    return _capability_proof(session, k_grant, PROOF_RESCUE)


def get_log(session: Session, from_seq: int, count: int) -> tuple[Session, Message]:
    """At most 16 events from `from_seq` on; the answer is a LOGPAGE on LOG."""
    return _sealed(session, Kind.GETLOG, from_seq.to_bytes(4, "big") + bytes([count]))


def ack_log(session: Session, seq: int, head: bytes) -> tuple[Session, Message]:
    """Events up to `seq` are kept elsewhere: the lock may overwrite them. `head` is the one after `seq`."""
    return _sealed(session, Kind.ACKLOG, seq.to_bytes(4, "big") + head)


def read_result(session: Session, message: Message) -> tuple[Session, Result]:
    """Raises GrantRefusedError: `malformed`, `bad-signature`."""
    session, plain = _unsealed(session, message, Kind.RESULT)
    if len(plain) != RESULT_BYTES:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"a RESULT of {len(plain)} bytes")
    try:
        kind = Kind(plain[0])
    except ValueError:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"a RESULT of {plain[0]:#04x}") from None
    return session, Result(kind, plain[1], int.from_bytes(plain[2:6], "big"), plain[6:])


def read_page(session: Session, message: Message) -> tuple[Session, LogPage]:
    """Raises GrantRefusedError: `malformed`, `bad-signature`."""
    session, plain = _unsealed(session, message, Kind.LOGPAGE)
    at, events = 4 + HEAD_BYTES, []
    if len(plain) < at:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"a LOGPAGE of {len(plain)} bytes")
    while at < len(plain):
        _event, end = decode_event(plain, at)
        events.append(plain[at:end])
        at = end
    page = LogPage(int.from_bytes(plain[:4], "big"), plain[4 : 4 + HEAD_BYTES], tuple(events))
    return session, page


def read_news(session: Session, message: Message) -> tuple[Session, StateNews]:
    """Raises GrantRefusedError: `malformed`, `bad-signature`."""
    session, plain = _unsealed(session, message, Kind.EVENT)
    if len(plain) != EVENT_BYTES:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"an EVENT of {len(plain)} bytes")
    return session, StateNews(Shown(plain[0]), plain[1], int.from_bytes(plain[2:], "big"))


def _capability_proof(session: Session, k_grant: bytes, purpose: bytes) -> bytes:
    challenge = session.challenge
    return mac(k_grant, purpose, challenge.nonce, challenge.lock_id)[:MAC_BYTES]


def _sealed(session: Session, kind: Kind, plain: bytes) -> tuple[Session, Message]:
    keys, body = seal_body(session.keys, kind, plain)
    return msgspec.structs.replace(session, keys=keys), Message(kind, body)


def _unsealed(session: Session, message: Message, kind: Kind) -> tuple[Session, bytes]:
    if message.kind is not kind:
        raise GrantRefusedError(
            LockRefusal.MALFORMED, f"{message.kind.name} came in place of {kind.name}"
        )
    keys, plain = open_body(session.keys, kind, message.body)
    return msgspec.structs.replace(session, keys=keys), plain
