"""A virtual lock on the bench, and a client that has every key: what vectors, tests and a lock maker's trials are made with.

All keys and random bytes come from names, so that a run can be repeated to the bit. Never use them for a real lock.
"""

from __future__ import annotations

from typing import Any, Final

from firmware_bridges.lock import client
from firmware_bridges.lock.frames import Message, Partial, joined, split
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import (
    Connected,
    Drop,
    Effect,
    Happening,
    Indicate,
    Notify,
    Refuse,
    Tick,
    Written,
)
from firmware_bridges.lock.state import Identity
from firmware_bridges.lock.virtual import VirtualLock
from tocsin.errors import GrantRefusedError
from tocsin.grants.claims import Claims, Op, encode_claims, holder_id
from tocsin.grants.grant import PROOF_RESCUE, PROOF_UNLOCK, capability_key, issue, prove
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_keys import gateway_key, order_key
from tocsin.grants.lock_log import LockEvent, LockEventKind, decode_event
from tocsin.grants.lock_orders import (
    RevokeOrder,
    RotateOrder,
    TimeOrder,
    maced_order,
    signed_order,
)
from tocsin.grants.primitives import public_key, sha256

NOW: Final = 1_800_000_000  # Unix seconds when the bench begins
LOCK_ID, GATEWAY, PERMIT = b"lock-008", b"gw-00007", b"permit-1"
KID: Final = b"\x00\x01"
LINK: Final = 1


def seed(name: str) -> bytes:
    """A private key for the bench: the SHA-256 of its name, as in docs/specs/vectors/grants.json."""
    return sha256(b"tocsin vector ", name.encode())


class Bench:
    """One lock, one client. `send` raises what the lock refuses with; answers lie in `inbox`."""

    def __init__(
        self,
        profile: Profile,
        *,
        frame_bytes: int = 244,
        lock_type: type[VirtualLock] = VirtualLock,
    ) -> None:
        self.profile, self.frame_bytes = profile, frame_bytes
        self.seconds = 0.0
        self.drawn = 0
        self.effects: list[Effect] = []
        self.inbox: list[Message] = []
        self.written: list[bytes] = []
        self.sent = 0
        self._partial: Partial | None = None
        has_signatures = profile is Profile.SIGNATURES
        self.lock = lock_type(
            Identity(LOCK_ID, profile, seed("lock")),
            IssuerKeys({KID: public_key(seed("issuer 1"))}) if has_signatures else None,
            entropy=self.entropy,
            seconds=lambda: self.seconds,
        )

    def entropy(self, size: int) -> bytes:
        """Bytes that never repeat and never change from run to run."""
        self.drawn += 1
        return sha256(b"tocsin bench ", self.drawn.to_bytes(4, "big"))[:size]

    def happens(self, happening: Happening) -> list[Effect]:
        """Gives the lock something to do; takes in what it sends. Raises GrantRefusedError where it refuses a write."""
        effects = self.lock.happens(happening)
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Indicate | Notify):
                found = joined(self._partial, effect.frame)
                self._partial = None if isinstance(found, Message) else found
                if isinstance(found, Message):
                    self.inbox.append(found)
        for effect in effects:
            if isinstance(effect, Refuse):
                raise GrantRefusedError(effect.reason, "refused by the lock")
        return effects

    def connect(self, link: int = LINK) -> None:
        """A new connection, whatever was before."""
        self._partial = None
        self.happens(Connected(link, self.frame_bytes))

    def write(self, frame: bytes, link: int = LINK) -> list[Effect]:
        """One write to CMD."""
        self.written.append(frame)
        return self.happens(Written(link, frame))

    def send(self, message: Message) -> Message:
        """A whole message; the last answer that came."""
        self.sent += 1
        before = len(self.inbox)
        for frame in split(message.kind, message.body, self.frame_bytes, self.sent):
            self.write(frame)
        if len(self.inbox) == before:
            raise AssertionError(f"{message.kind.name} was not answered")
        return self.inbox[-1]

    def pass_time(self, seconds: float) -> None:
        """Lets time pass, a tick at the end."""
        self.seconds += seconds
        self.happens(Tick())

    @property
    def unix_s(self) -> int:
        """What a right clock says."""
        return NOW + int(self.seconds)

    def hello(self, gateway_id: bytes = GATEWAY) -> client.Session:
        """Connects if need be, and opens a session."""
        if self.lock.state.link is None:
            self.connect()
        nonce = self.entropy(16)
        answer = self.send(client.hello(gateway_id, nonce))
        epoch = self.lock.state.durable.gateway_epoch
        k_gw = gateway_key(seed("lock"), gateway_id, epoch)
        return client.opened(answer.body, gateway_id, k_gw, nonce)

    def claims(self, cti: bytes = b"grant-01", **changes: Any) -> Claims:
        """Claims that are good now."""
        standard: dict[str, Any] = {
            "cti": cti,
            "sub": holder_id(public_key(seed("holder"))),
            "aud": LOCK_ID,
            "nbf": self.unix_s - 60,
            "exp": self.unix_s + 1740,
            "pmt": PERMIT,
            "ctr": 17,
            "ops": Op.UNLOCK | Op.RELOCK,
        }
        return Claims(**(standard | changes))

    def tell_time(self, unix_s: int | None = None, error_s: int = 1) -> None:
        """The cloud tells the lock the time."""
        session = self.hello()
        order = TimeOrder(
            LOCK_ID, self.unix_s if unix_s is None else unix_s, session.challenge.nonce, error_s
        )
        self.send(client.tell_time(session, *self.order(order))[1])

    def order(self, order: TimeOrder | RevokeOrder | RotateOrder) -> tuple[bytes, bytes]:
        """Form and bytes of an order of the cloud, as this profile takes it."""
        if self.profile is Profile.SIGNATURES or isinstance(order, RotateOrder):
            return client.SIGNED, signed_order(order, kid=KID, seed=seed("issuer 1"))
        return client.MACED, maced_order(order, order_key(seed("lock")))

    def revoke(self, min_ctr: int, epoch: int = 1, *revoked: tuple[bytes, int]) -> None:
        """The cloud revokes."""
        form, order = self.order(RevokeOrder(LOCK_ID, min_ctr, epoch, revoked))
        self.send(client.revoke(self.hello(), form, order)[1])

    def unlock(
        self, claims: Claims, session: client.Session | None = None, holder: str = "holder"
    ) -> client.Result:
        """Opens under a grant, the way this profile does."""
        session = session or self.hello()
        challenge = session.challenge
        if self.profile is Profile.MAC_ONLY:
            payload = encode_claims(claims)
            key = capability_key(seed("lock"), payload)
            session, message = client.unlock_a(session, payload, key)
        else:
            raw = issue(claims, kid=KID, seed=seed("issuer 1")).raw
            session, message = client.grant(session, raw)
            session, _ = client.read_result(session, self.send(message))
            proof = prove(
                seed(holder), PROOF_UNLOCK, challenge.nonce, challenge.lock_id, claims.cti
            )
            session, message = client.prove(session, public_key(seed(holder)), proof)
        return client.read_result(session, self.send(message))[1]

    def guess(self) -> None:
        """A try without what it takes: another capability key (A), another holder's proof (B). The lock refuses."""
        session, claims = self.hello(), self.claims(b"a guess!")
        if self.profile is Profile.MAC_ONLY:
            _, message = client.unlock_a(session, encode_claims(claims), bytes(32))
            self.send(message)
        else:
            self.unlock(claims, session, holder="thief")

    def rescue_part(
        self, session: client.Session, claims: Claims, holder: str
    ) -> tuple[bytes, bytes]:
        """One holder's half of a RESCUE."""
        challenge = session.challenge
        if self.profile is Profile.MAC_ONLY:
            payload = encode_claims(claims)
            key = capability_key(seed("lock"), payload)
            return payload, client.rescue_proof_a(session, key)
        raw = issue(claims, kid=KID, seed=seed("issuer 1")).raw
        proof = prove(seed(holder), PROOF_RESCUE, challenge.nonce, challenge.lock_id, claims.cti)
        return raw, public_key(seed(holder)) + proof

    def rescue(
        self, holders: tuple[str, str] = ("rescuer 1", "rescuer 2"), **changes: Any
    ) -> client.Result:
        """Two people open with their rescue grants."""
        session = self.hello()
        parts = []
        for number, holder in enumerate(holders, start=1):
            claims = self.claims(
                b"rescue-%d" % number,
                sub=holder_id(public_key(seed(holder))),
                ops=Op.RESCUE,
                **({"exp": self.unix_s + 40_000} | changes),
            )
            parts.append(self.rescue_part(session, claims, holder))
        session, message = client.rescue(session, parts[0], parts[1])
        return client.read_result(session, self.send(message))[1]

    def relock(
        self, cti: bytes, headcount: int, session: client.Session | None = None
    ) -> client.Result:
        """Locks again."""
        session, message = client.relock(session or self.hello(), cti, headcount)
        return client.read_result(session, self.send(message))[1]

    def log(self) -> list[LockEvent]:
        """The lock's log, decoded."""
        return [decode_event(record.event)[0] for record in self.lock.state.log]

    def kinds(self) -> list[LockEventKind]:
        """The kinds of its events, oldest first."""
        return [LockEventKind(event.kind) for event in self.log()]

    @property
    def was_dropped(self) -> bool:
        """Whether the lock ever ended the connection."""
        return any(isinstance(effect, Drop) for effect in self.effects)
