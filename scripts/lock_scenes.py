"""The scenes of firmware_bridges/lock/vectors/sessions.txt, and a lock that writes down what happens in them."""

from __future__ import annotations

from collections.abc import Callable

from firmware_bridges.lock import client, machine
from firmware_bridges.lock.bench import GATEWAY, KID, LOCK_ID, NOW, Bench, seed
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import (
    Actuate,
    Advertise,
    Area,
    BatteryAt,
    BoltMoved,
    Connected,
    Disconnected,
    DoorMoved,
    Drop,
    Effect,
    EgressUsed,
    Happening,
    Indicate,
    Notify,
    Refuse,
    Store,
    Tampered,
    Tick,
    Written,
)
from firmware_bridges.lock.state import LockState
from firmware_bridges.lock.turn import FRESH_BYTES
from firmware_bridges.lock.virtual import VirtualLock
from tocsin.errors import GrantRefusedError
from tocsin.grants.att import ATT_CODES
from tocsin.grants.lock_keys import time_key
from tocsin.grants.lock_orders import (
    RevokeOrder,
    RotateOrder,
    TimeOrder,
    maced_order,
    signed_order,
)
from tocsin.grants.primitives import public_key

_CHECK = 8  # bytes of check at the end of a slot


class TracedLock(VirtualLock):
    """Writes down everything that happens to it and everything it wants."""

    lines: list[str]

    def happens(self, happening: Happening) -> list[Effect]:
        fresh = self._entropy(FRESH_BYTES)
        self.lines.append(f"in {self.now_s} {fresh.hex()} {happening_line(happening)}")
        self.state, effects = machine.step(self.identity, self.state, happening, self.now_s, fresh)
        self.lines += [f"out {effect_line(effect)}" for effect in effects]
        return self._carried_out(effects)

    def _boot(self, *, is_unlocked: bool, is_open: bool) -> tuple[LockState, tuple[Effect, ...]]:
        if not hasattr(self, "lines"):
            self.lines = []
        fresh = self._entropy(FRESH_BYTES)
        self.lines.append(f"boot {fresh.hex()} {is_unlocked:d} {is_open:d}")
        state, effects = machine.boot(
            self.identity,
            self.flash,
            self.issuers,
            is_unlocked=is_unlocked,
            is_open=is_open,
            fresh=fresh,
        )
        self.lines += [f"out {effect_line(effect)}" for effect in effects]
        return state, effects

    def spoil(self, area: Area, slot: int, data: bytes) -> None:
        """What a power cut left in a slot."""
        self.flash[area, slot] = data
        self.lines.append(f"flash {area.value} {slot} {data.hex()}")


def happening_line(happening: Happening) -> str:
    """`connect 1 244`, `write 1 0101...`, `door 1` and so on."""
    match happening:
        case Connected(link, frame_bytes):
            return f"connect {link} {frame_bytes}"
        case Disconnected(link):
            return f"disconnect {link}"
        case Written(link, data):
            return f"write {link} {data.hex() or '-'}"
        case DoorMoved(is_open):
            return f"door {is_open:d}"
        case BoltMoved(is_unlocked):
            return f"bolt {is_unlocked:d}"
        case EgressUsed():
            return "egress"
        case Tampered(is_tampered):
            return f"tamper {is_tampered:d}"
        case BatteryAt(percent):
            return f"battery {percent}"
        case Tick():
            return "tick"


def effect_line(effect: Effect) -> str:
    """`store log 3 ...`, `indicate 1 0182...`; zeros before a slot's check are left out and the check stands apart."""
    match effect:
        case Store(area, slot, data):
            body, check = data[:-_CHECK].rstrip(b"\0"), data[-_CHECK:]
            return f"store {area.value} {slot} {len(data)} {body.hex() or '-'} {check.hex()}"
        case Actuate(to_unlocked):
            return f"actuate {to_unlocked:d}"
        case Refuse(link, reason):
            return f"refuse {link} {ATT_CODES[reason]}"
        case Indicate(link, frame):
            return f"indicate {link} {frame.hex()}"
        case Notify(link, frame):
            return f"notify {link} {frame.hex()}"
        case Drop(link):
            return f"drop {link}"
        case Advertise(data):
            return f"advertise {data.hex()}"


def traced(profile: Profile, frame_bytes: int = 244) -> Bench:
    """A bench whose lock writes everything down."""
    return Bench(profile, frame_bytes=frame_bytes, lock_type=TracedLock)


def traced_lock(bench: Bench) -> TracedLock:
    """The bench's lock."""
    if isinstance(bench.lock, TracedLock):
        return bench.lock
    raise TypeError("a bench without a traced lock")


def lines_of(bench: Bench, name: str) -> list[str]:
    """A case: what the lock was made with, then what happened."""
    lock = traced_lock(bench)
    identity = lock.identity
    head = [
        f"case {name.replace(' ', '-')}",
        f"lock {identity.profile.value} {identity.lock_id.hex()} {identity.k_lock.hex()} "
        f"{identity.firmware} {identity.model}",
    ]
    keys = lock.issuers.keys if lock.issuers else {}
    head += [f"issuer {kid.hex()} {key.hex()}" for kid, key in sorted(keys.items())]
    return [*head, *lock.lines, "end", ""]


def refused(act: Callable[[], object]) -> int:
    """The code an act is refused with."""
    try:
        act()
    except GrantRefusedError as refused:
        return ATT_CODES[refused.reason]
    raise AssertionError("was accepted")


def working_day(bench: Bench) -> None:
    """Time, unlock, door, occupied, relock, log."""
    bench.tell_time()
    grant = bench.claims()
    bench.unlock(grant)
    bench.happens(DoorMoved(True))
    for headcount, is_open in ((0, True), (3, False), (0xFFFF, False)):
        bench.happens(DoorMoved(is_open))
        refused(lambda headcount=headcount: bench.relock(grant.cti, headcount))  # type: ignore[misc]
    bench.relock(grant.cti, 0)
    session, message = client.get_log(bench.hello(), 1, 16)
    bench.send(message)
    session, message = client.ack_log(session, bench.lock.state.seq, bench.lock.state.head)
    bench.send(message)
    bench.pass_time(15)


def rescue(bench: Bench) -> None:
    """A reboot, the time unknown, two rescuers, and their grants once more."""
    bench.lock.restart()
    bench.happens(BatteryAt(4))
    bench.rescue()
    bench.tell_time()
    refused(bench.rescue)
    bench.relock(b"rescue-1", 0)


def handle_and_jam(bench: Bench) -> None:
    """The inside handle, a key, a bolt that sticks."""
    bench.tell_time()
    bench.happens(EgressUsed())
    bench.happens(BoltMoved(True))
    bench.happens(DoorMoved(True))
    bench.happens(DoorMoved(False))
    bench.relock(bytes(8), 0)
    bench.happens(BoltMoved(True))
    bench.happens(BoltMoved(False))
    bench.happens(DoorMoved(True))
    bench.happens(Tampered(True))
    bench.lock.is_stuck = True
    try:
        bench.unlock(bench.claims())
    except AssertionError:
        bench.pass_time(3)


def revoke_and_epoch(bench: Bench) -> None:
    """Single grants, all below a counter, a gateway epoch."""
    bench.tell_time()
    bench.revoke(0, 1, (b"grant-01", 17), (b"grant-02", 18))
    bench.revoke(17, 1)
    bench.revoke(18, 2)
    form, order = bench.order(RevokeOrder(LOCK_ID, 3, 1))
    bench.send(client.revoke(bench.hello(), form, order)[1])
    bench.unlock(bench.claims(ctr=18, uses=2))
    bench.unlock(bench.claims(ctr=18, uses=2))


def rotation(bench: Bench) -> None:
    """Two ROTATEs, then a reboot."""
    bench.tell_time()
    for kid, name, by, signer in (
        (b"\x00\x02", "issuer 2", KID, "issuer 1"),
        (b"\x00\x03", "issuer 3", b"\x00\x02", "issuer 2"),
    ):
        order = RotateOrder(LOCK_ID, kid, public_key(seed(name)))
        raw = signed_order(order, kid=by, seed=seed(signer))
        bench.send(client.rotate(bench.hello(), raw)[1])
    bench.lock.restart()
    bench.connect()
    order = RotateOrder(LOCK_ID, KID, public_key(seed("issuer 1")))
    raw = signed_order(order, kid=b"\x00\x03", seed=seed("issuer 3"))
    refused(lambda: bench.send(client.rotate(bench.hello(), raw)[1]))


def many_grants(bench: Bench) -> None:
    """More grants than the lock remembers one by one."""
    bench.tell_time()
    for number in range(66):
        bench.unlock(bench.claims(b"%08d" % number, ctr=100 + number))


def torn(bench: Bench) -> None:
    """Half a log record, then half a state, each found after the reboot."""
    lock = traced_lock(bench)
    bench.tell_time()
    slot = lock.state.seq % 512
    lock.spoil(Area.LOG, slot, b"\x00\x00\x00\x05".ljust(64, b"\xff"))
    lock.restart()
    state = (lock.state.durable.generation + 1) % 2
    lock.spoil(Area.STATE, state, lock.flash[Area.STATE, state][:500].ljust(1024, b"\xff"))
    lock.restart()
    bench.connect()
    bench.tell_time()
    bench.unlock(bench.claims())


def log_goes_round(bench: Bench) -> None:
    """More events than the log holds, acknowledged in time; then a reboot and a page across the seam."""
    bench.tell_time()
    for number in range(530):
        bench.happens(Tampered(number % 2 == 0))
        if number == 400:
            head = bench.lock.state.head
            bench.send(client.ack_log(bench.hello(), bench.lock.state.seq, head)[1])
    bench.lock.restart()
    bench.connect()
    bench.send(client.get_log(bench.hello(), 1, 16)[1])
    bench.send(client.get_log(bench.hello(), 508, 8)[1])


def full_log(bench: Bench) -> None:
    """Denials stop at two thirds, openings at 448, everything at 512; an acknowledgement tells how many were not written."""
    bench.tell_time()
    for _ in range(390):
        refused(lambda: bench.write(b"\x01"))
    for number in range(140):
        bench.happens(Tampered(number % 2 == 0))
    refused(lambda: bench.unlock(bench.claims()))
    bench.send(client.ack_log(bench.hello(), bench.lock.state.seq, bench.lock.state.head)[1])
    bench.unlock(bench.claims())


def delegated_time(bench: Bench) -> None:
    """A gateway tells the time with a key for two hours; the clock grows older until it is no use."""
    start, end = NOW - 3600, NOW + 3600
    span = start.to_bytes(4, "big") + end.to_bytes(4, "big")
    key = time_key(seed("lock"), GATEWAY, start, end)
    for unix_s, error_s in ((NOW, 20), (end, 5), (end + 1, 5)):
        session = bench.hello()
        order = maced_order(TimeOrder(LOCK_ID, unix_s, session.challenge.nonce, error_s), key)
        message = client.tell_time(session, client.DELEGATED, span + order)[1]
        if unix_s <= end:
            bench.send(message)
        else:
            refused(lambda message=message: bench.send(message))  # type: ignore[misc]
    bench.tell_time()
    for days in (1, 2, 6, 7):
        bench.pass_time(days * 86_400 - bench.seconds)
        bench.hello()
    refused(lambda: bench.unlock(bench.claims()))


def neighbours(bench: Bench) -> None:
    """News in a session, a second phone, a weak battery, a link that falls silent, a lockout and its end."""
    bench.tell_time()
    bench.hello()
    bench.happens(Tampered(True))
    bench.happens(Tampered(True))
    bench.happens(DoorMoved(True))
    bench.happens(DoorMoved(False))
    bench.happens(Connected(2, 100))
    refused(lambda: bench.happens(Written(2, b"\x01\x01\x00\x80\x00\x00")))
    bench.happens(Disconnected(2))
    for percent in (101, 20, 19, 9, 50):
        bench.happens(BatteryAt(percent))
        if percent == 9:
            refused(lambda: bench.unlock(bench.claims()))
    bench.pass_time(14)
    bench.pass_time(1)
    for _ in range(5):
        refused(bench.guess)
    refused(lambda: bench.unlock(bench.claims()))
    bench.lock.restart()
    bench.connect()
    bench.tell_time()
    bench.pass_time(59)
    refused(lambda: bench.unlock(bench.claims()))
    bench.pass_time(1)
    for _ in range(5):
        refused(bench.guess)
    bench.pass_time(120)
    bench.unlock(bench.claims())
    bench.pass_time(900)


SCENES: tuple[tuple[str, Callable[[Bench], None], tuple[Profile, ...], int], ...] = (
    ("working day", working_day, tuple(Profile), 244),
    ("working day at MTU 23", working_day, tuple(Profile), 20),
    ("rescue", rescue, tuple(Profile), 244),
    ("handle and jam", handle_and_jam, tuple(Profile), 244),
    ("revoke and epoch", revoke_and_epoch, tuple(Profile), 182),
    ("delegated time", delegated_time, tuple(Profile), 244),
    ("neighbours", neighbours, tuple(Profile), 100),
    ("rotation", rotation, (Profile.SIGNATURES,), 244),
    ("many grants", many_grants, (Profile.MAC_ONLY,), 244),
    ("torn writes", torn, tuple(Profile), 244),
    ("log goes round", log_goes_round, (Profile.MAC_ONLY,), 244),
    ("full log", full_log, (Profile.MAC_ONLY,), 244),
)
