"""One happening being worked through: the state so far and the effects so far. Used by the state machine's parts only."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from firmware_bridges.lock.flash import log_slot, state_slot
from firmware_bridges.lock.frames import Kind, split
from firmware_bridges.lock.gatt import advert_bytes
from firmware_bridges.lock.happenings import (
    Advertise,
    Area,
    Drop,
    Effect,
    Indicate,
    Notify,
    Store,
)
from firmware_bridges.lock.session import seal_body
from firmware_bridges.lock.state import (
    ADVERT_S,
    LOG_DENIALS,
    LOG_EVENTS,
    Identity,
    Link,
    LockSession,
    LockState,
    Record,
    clock_of,
    shown,
)
from tocsin.grants.lock_keys import advert_key
from tocsin.grants.lock_log import (
    MINOR,
    NO_GRANT,
    LockEvent,
    LockEventKind,
    encode_event,
    next_head,
)

FRESH_BYTES: Final = (
    20  # random bytes each happening brings: 16 for a nonce, 4 for the advertisement
)


class Turn:
    """Collects what one happening does. Effects leave in the order in which a power cut may cut them off."""

    def __init__(self, identity: Identity, state: LockState, now_s: int, fresh: bytes) -> None:
        if len(fresh) != FRESH_BYTES:
            raise ValueError(f"{len(fresh)} fresh random bytes, {FRESH_BYTES} are needed")
        self.identity, self.state, self.now_s, self.fresh = identity, state, now_s, fresh
        self.effects: list[Effect] = []

    def set(self, **changes: Any) -> None:
        """Changes fields of the state."""
        self.state = msgspec.structs.replace(self.state, **changes)

    def keep(self, **changes: Any) -> None:
        """Changes fields that outlive a power cut, and writes them."""
        durable = self.state.durable
        changed = msgspec.structs.replace(durable, **changes)
        if changed == durable:
            return
        changed = msgspec.structs.replace(changed, generation=durable.generation + 1)
        self.set(durable=changed)
        self.effects.append(Store(Area.STATE, *state_slot(changed)))

    @property
    def unacked(self) -> int:
        """Events of the log that nobody acknowledged."""
        return self.state.seq - self.state.durable.acked_seq

    def log(self, kind: LockEventKind, cti: bytes = NO_GRANT, data: bytes = b"") -> bool:
        """Writes an event to the chain; False where there is no room and it is only counted."""
        if self.unacked >= (LOG_DENIALS if kind in MINOR else LOG_EVENTS):
            self.set(unlogged=self.state.unlogged + 1)
            return False
        time_s, quality = clock_of(self.state, self.now_s)
        seq = self.state.seq + 1
        raw = encode_event(LockEvent(seq, time_s, quality, kind, cti, data))
        record = Record(raw, next_head(self.state.head, raw))
        log, base = (*self.state.log, record), self.state.base
        if len(log) > LOG_EVENTS:
            base, log = log[0].head, log[1:]
        self.set(seq=seq, head=record.head, log=log, base=base)
        self.effects.append(Store(Area.LOG, *log_slot(seq, record)))
        return True

    @property
    def link(self) -> Link | None:
        """The connection, if there is one."""
        return self.state.link

    @property
    def session(self) -> LockSession | None:
        """The session, if there is one."""
        return self.state.link.session if self.state.link else None

    def set_link(self, **changes: Any) -> None:
        """Changes fields of the connection."""
        if self.state.link is not None:
            self.set(link=msgspec.structs.replace(self.state.link, **changes))

    def set_session(self, **changes: Any) -> None:
        """Changes fields of the session."""
        if self.session is not None:
            self.set_link(session=msgspec.structs.replace(self.session, **changes))

    def send(self, kind: Kind, body: bytes) -> None:
        """A message to the client, as it is."""
        link = self.state.link
        if link is None:
            return
        effect = Notify if kind is Kind.LOGPAGE else Indicate
        frames = split(kind, body, link.frame_bytes, link.sent + 1)
        self.effects += [effect(link.number, frame) for frame in frames]
        self.set_link(sent=link.sent + 1)

    def send_sealed(self, kind: Kind, plain: bytes) -> None:
        """A message under the session's key; nothing where there is no session."""
        session = self.session
        if session is None:
            return
        keys, body = seal_body(session.keys, kind, plain)
        self.set_session(keys=keys)
        self.send(kind, body)

    def answer(self, kind: Kind, code: int = 0) -> None:
        """RESULT: a message was carried out."""
        self.send_sealed(
            Kind.RESULT,
            bytes([kind, code]) + self.state.seq.to_bytes(4, "big") + self.state.head,
        )

    def tell_news(self) -> None:
        """EVENT: something happened by itself."""
        state = bytes([shown(self.state, self.now_s), self.state.battery_percent])
        self.send_sealed(Kind.EVENT, state + self.state.seq.to_bytes(4, "big"))

    def burn_nonce(self) -> None:
        """The nonce is used up; a grant that waits for its proof goes with it."""
        self.set_session(nonce=None, grant=None)

    def drop(self) -> None:
        """Ends the connection."""
        if self.state.link is not None:
            self.effects.append(Drop(self.state.link.number))
            self.set(link=None)

    def advertise(self) -> None:
        """A new advertisement, if the state changed or the old one is old."""
        now = shown(self.state, self.now_s)
        if now == self.state.advertised and self.now_s - self.state.advertised_s < ADVERT_S:
            return
        key = advert_key(self.identity.k_lock)
        self.effects.append(Advertise(advert_bytes(key, self.fresh[16:], now)))
        self.set(advertised=now, advertised_s=self.now_s)
