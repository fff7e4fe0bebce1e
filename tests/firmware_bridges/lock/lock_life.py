"""Whatever may happen to a lock: what a gateway sends, right, nearly right and wrong, a bolt, a door, power cuts."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st

from firmware_bridges.lock import client
from firmware_bridges.lock.bench import GATEWAY, KID, LINK, LOCK_ID, seed
from firmware_bridges.lock.frames import MAX_BODY_BYTES, Kind, Message, split
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import (
    Area,
    BatteryAt,
    BoltMoved,
    Connected,
    Disconnected,
    DoorMoved,
    EgressUsed,
    Tampered,
    Written,
)
from firmware_bridges.lock.session import open_body, seal_body
from scripts.lock_scenes import traced, traced_lock
from tocsin.errors import GrantRefusedError
from tocsin.grants.claims import Op, encode_claims, holder_id
from tocsin.grants.grant import capability_key, issue
from tocsin.grants.lock_keys import time_key
from tocsin.grants.lock_orders import RevokeOrder, RotateOrder, TimeOrder, maced_order, signed_order
from tocsin.grants.primitives import public_key


class Life:
    """What may happen to a lock, each named by a number; nonsense included."""

    def __init__(self, profile: Profile, frame_bytes: int) -> None:
        self.bench = traced(profile, frame_bytes)
        self.grants = 0

    def act(self, verb: str, one: int, data: bytes) -> None:
        with suppress(GrantRefusedError, AssertionError):  # refused, or a bolt that sticks
            getattr(self, verb)(one, data)

    def tell_time(self, one: int, data: bytes) -> None:
        self.bench.tell_time(self.bench.unix_s - one % 3, one % 60)

    def delegated_time(self, one: int, data: bytes) -> None:
        start = self.bench.unix_s - one % 5000
        key = time_key(seed("lock"), GATEWAY, start, start + 3600)
        session = self.bench.hello()
        order = TimeOrder(LOCK_ID, self.bench.unix_s, session.challenge.nonce, 5)
        span = start.to_bytes(4, "big") + (start + 3600 + one % 2 * 90_000).to_bytes(4, "big")
        message = client.tell_time(session, client.DELEGATED, span + maced_order(order, key))[1]
        self.bench.send(message)

    def unlock(self, one: int, data: bytes) -> None:
        self.grants += 1
        cti = b"grant-%02d" % (one % 8)
        gw = (None, GATEWAY, b"gw-other")[one % 3]
        claims = self.bench.claims(cti, ctr=one % 30, uses=1 + one % 2, gw=gw)
        self.bench.unlock(claims)

    def unlock_new(self, one: int, data: bytes) -> None:
        for _ in range(one % 40):
            self.grants += 1
            self.bench.unlock(self.bench.claims(b"%08d" % self.grants, ctr=self.grants))

    def guess(self, one: int, data: bytes) -> None:
        self.bench.guess()

    def relock(self, one: int, data: bytes) -> None:
        cti = self.bench.lock.state.durable.opener.cti if one % 4 else b"grant-00"
        self.bench.relock(cti, (0, 0, 0, 2, 0xFFFF)[one % 5])

    def rescue(self, one: int, data: bytes) -> None:
        self.bench.rescue(("rescuer 1", f"rescuer {1 + one % 3}"))

    def revoke(self, one: int, data: bytes) -> None:
        named = [(b"grant-%02d" % n, n) for n in range(one % 9)]
        self.bench.revoke(one % 12, 1 + one % 16 // 15, *named)

    def rotate(self, one: int, data: bytes) -> None:
        order = RotateOrder(LOCK_ID, bytes([0, one % 4]), public_key(seed(f"issuer {one % 4}")))
        raw = signed_order(order, kid=KID, seed=seed("issuer 1"))
        self.bench.send(client.rotate(self.bench.hello(), raw)[1])

    def pull_log(self, one: int, data: bytes) -> None:
        session, message = client.get_log(self.bench.hello(), one % 40, 1 + one % 17)
        self.bench.send(message)
        state = self.bench.lock.state
        head = state.head if one % 3 else data.ljust(16)[:16]
        self.bench.send(client.ack_log(session, state.seq + (one % 7 == 0), head)[1])

    def many_events(self, one: int, data: bytes) -> None:
        for number in range(one * 3):
            self.bench.happens(Tampered(number % 2 == 0))

    def twisted(self, one: int, data: bytes) -> None:
        """Whoever has the session's key and sends nearly what is right: cut, longer, a bit flipped, of another kind."""
        session = self.bench.hello()
        message = self.some_message(one, session)
        plain = bytearray(open_body(session.keys, message.kind, message.body)[1])
        where = int.from_bytes(data[:2], "big") % len(plain)
        kind = message.kind
        if one % 4 == 0:
            del plain[where:]
        elif one % 4 == 1:
            plain += data[:100]
        elif one % 4 == 2:
            plain[where] ^= 1 << one // 4 % 8
        else:
            kind = list(Kind)[where % len(Kind)]
        self.bench.send(Message(kind, seal_body(session.keys, kind, bytes(plain))[1]))

    def some_message(self, one: int, session: client.Session) -> Message:
        """A message the lock would take, or not for want of the state it needs."""
        bench, nonce, state = self.bench, session.challenge.nonce, self.bench.lock.state
        orders = (
            (client.tell_time, TimeOrder(LOCK_ID, bench.unix_s, nonce, 1)),
            (client.revoke, RevokeOrder(LOCK_ID, 0, 1, ((b"grant-03", 3),))),
        )
        rescuers = []
        for holder in ("rescuer 1", "rescuer 2"):
            sub = holder_id(public_key(seed(holder)))
            claims = bench.claims(holder[-8:].encode(), sub=sub, ops=Op.RESCUE, ctr=40)
            rescuers.append(bench.rescue_part(session, claims, holder))
        claims = bench.claims(b"grant-%02d" % (one % 8))
        payload = encode_claims(claims)
        presented = (
            client.grant(session, issue(claims, kid=KID, seed=seed("issuer 1")).raw)
            if bench.profile is Profile.SIGNATURES
            else client.unlock_a(session, payload, capability_key(seed("lock"), payload))
        )
        return (
            presented,
            client.relock(session, state.durable.opener.cti, 0),
            client.rescue(session, rescuers[0], rescuers[1]),
            client.get_log(session, 1, 16),
            client.ack_log(session, state.seq, state.head),
            *(tell(session, *bench.order(order)) for tell, order in orders),
        )[one // 4 % 7][1]

    def sealed_nonsense(self, one: int, data: bytes) -> None:
        """Whoever has the session's key and sends anything at all."""
        session = self.bench.hello()
        kind = list(Kind)[one % len(Kind)]
        message = Message(kind, seal_body(session.keys, kind, data)[1])
        if len(message.body) <= MAX_BODY_BYTES:
            self.bench.send(message)

    def changed_message(self, one: int, data: bytes) -> None:
        """A bit of an order flipped before it was sealed; a frame flipped, cut or made longer on the way."""
        session = self.bench.hello()
        order = bytearray(self.bench.order(TimeOrder(LOCK_ID, 1, session.challenge.nonce, 1))[1])
        where = int.from_bytes(data[:2], "big")
        if one % 2:
            order[where % len(order)] ^= 1 << one % 8
        form = client.SIGNED if self.bench.profile is Profile.SIGNATURES else client.MACED
        message = client.tell_time(session, form, bytes(order))[1]
        for frame in split(message.kind, message.body, self.bench.frame_bytes, 200 + one):
            flipped = bytearray(frame)
            if one % 2 == 0:
                flipped[where % len(frame)] ^= 1 << one % 8
            self.bench.write((bytes(flipped) + data)[: len(frame) + one % 5 - 2])

    def write(self, one: int, data: bytes) -> None:
        self.bench.happens(Written(LINK + (one % 5 == 0), data))

    def frame(self, one: int, data: bytes) -> None:
        """A header that may be one, and a piece."""
        kind = list(Kind)[one % len(Kind)]
        length = (len(data) + one % 2).to_bytes(2, "big")
        header = bytes([1, kind, one % 3, one % 3 | (one % 2) << 7]) + length
        self.bench.happens(Written(LINK, header + data))

    def sensor(self, one: int, data: bytes) -> None:
        flag = one % 2 == 1
        doings = (DoorMoved(flag), BoltMoved(flag), Tampered(flag), EgressUsed(), BatteryAt(one))
        self.bench.happens(doings[one // 2 % 5])

    def link(self, one: int, data: bytes) -> None:
        number = LINK + one % 2
        self.bench.happens(Connected(number, 20 + one % 225) if one % 3 else Disconnected(number))
        self.bench.happens(Disconnected(LINK + 1))
        self.bench.connect()

    def jam(self, one: int, data: bytes) -> None:
        """A bolt that does not move, and what may come while it should."""
        self.bench.lock.is_stuck = True
        self.act("unlock_new", 1, data)
        for verb in ("tell_time", "sensor", "frame", "relock")[: one % 5]:
            self.act(verb, one // 5, data)
        self.bench.lock.is_stuck = one % 3 == 0

    def time(self, one: int, data: bytes) -> None:
        self.bench.pass_time((1, 2, 3, 16, 31, 61, 901, 90_000)[one % 8])

    def power_cut(self, one: int, data: bytes) -> None:
        lock = traced_lock(self.bench)
        if one % 3 == 1:
            slot = lock.state.seq % 512
            lock.spoil(Area.LOG, slot, data[:63].ljust(64, b"\xff"))
        elif one % 3 == 2:
            slot = (lock.state.durable.generation + one % 2) % 2
            old = lock.flash.get((Area.STATE, slot), b"")[: one * 4]
            lock.spoil(Area.STATE, slot, old.ljust(1024, b"\xff"))
        lock.restart()


VERBS = sorted(
    name for name in vars(Life) if name[0] != "_" and name not in ("act", "some_message")
)
DOINGS = st.lists(
    st.tuples(
        st.sampled_from(VERBS),
        st.integers(0, 255),
        st.binary(max_size=60) | st.binary(min_size=200, max_size=300),
    ),
    min_size=8,
    max_size=40,
)
