"""Writes firmware_bridges/lock/vectors/: what a lock's firmware is tested against, in lines a C program reads without a library.

`python -m scripts.lock_vectors` writes them anew; a test asserts that they are up to date and that they replay.
A line is a verb and words; numbers are decimal, bytes are hex, `-` is empty. `#` begins a comment. docs/specs/lock.md, section 9.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from firmware_bridges.lock import client, machine
from firmware_bridges.lock.attacks import ATTACKS
from firmware_bridges.lock.bench import KID, LOCK_ID, Bench, seed
from firmware_bridges.lock.frames import Kind, Partial, joined, split
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
from scripts.grant_vectors import FILE as GRANTS
from tocsin.errors import GrantRefusedError
from tocsin.grants.att import ATT_CODES
from tocsin.grants.lock_log import (
    LockEvent,
    LockEventKind,
    encode_event,
    first_head,
    next_head,
)
from tocsin.grants.lock_orders import RevokeOrder, RotateOrder, signed_order
from tocsin.grants.primitives import public_key

FOLDER = Path(__file__).parent.parent / "firmware_bridges/lock/vectors"
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


def _traced_lock(bench: Bench) -> TracedLock:
    if isinstance(bench.lock, TracedLock):
        return bench.lock
    raise TypeError("a bench without a traced lock")


def lines_of(bench: Bench, name: str) -> list[str]:
    """A case: what the lock was made with, then what happened."""
    lock = _traced_lock(bench)
    identity = lock.identity
    head = [
        f"case {name.replace(' ', '-')}",
        f"lock {identity.profile.value} {identity.lock_id.hex()} {identity.k_lock.hex()} "
        f"{identity.firmware} {identity.model}",
    ]
    keys = lock.issuers.keys if lock.issuers else {}
    head += [f"issuer {kid.hex()} {key.hex()}" for kid, key in sorted(keys.items())]
    return [*head, *lock.lines, "end", ""]


def working_day(bench: Bench) -> None:
    """Time, unlock, door, occupied, relock, log."""
    bench.tell_time()
    grant = bench.claims()
    bench.unlock(grant)
    bench.happens(DoorMoved(True))
    for headcount, is_open in ((0, True), (3, False), (0xFFFF, False)):
        bench.happens(DoorMoved(is_open))
        _refused(lambda headcount=headcount: bench.relock(grant.cti, headcount))  # type: ignore[misc]
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
    _refused(bench.rescue)
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
    _refused(lambda: bench.send(client.rotate(bench.hello(), raw)[1]))


def many_grants(bench: Bench) -> None:
    """More grants than the lock remembers one by one."""
    bench.tell_time()
    for number in range(66):
        bench.unlock(bench.claims(b"%08d" % number, ctr=100 + number))


def torn(bench: Bench) -> None:
    """Half a log record, then half a state, each found after the reboot."""
    lock = _traced_lock(bench)
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
        _refused(lambda: bench.write(b"\x01"))
    for number in range(140):
        bench.happens(Tampered(number % 2 == 0))
    _refused(lambda: bench.unlock(bench.claims()))
    bench.send(client.ack_log(bench.hello(), bench.lock.state.seq, bench.lock.state.head)[1])
    bench.unlock(bench.claims())


SCENES: tuple[tuple[str, Callable[[Bench], None], tuple[Profile, ...], int], ...] = (
    ("working day", working_day, tuple(Profile), 244),
    ("working day at MTU 23", working_day, tuple(Profile), 20),
    ("rescue", rescue, tuple(Profile), 244),
    ("handle and jam", handle_and_jam, tuple(Profile), 244),
    ("revoke and epoch", revoke_and_epoch, tuple(Profile), 182),
    ("rotation", rotation, (Profile.SIGNATURES,), 244),
    ("many grants", many_grants, (Profile.MAC_ONLY,), 244),
    ("torn writes", torn, tuple(Profile), 244),
    ("log goes round", log_goes_round, (Profile.MAC_ONLY,), 244),
    ("full log", full_log, (Profile.MAC_ONLY,), 244),
)


def sessions() -> str:
    """Everything a lock must do, happening by happening."""
    lines = ["# what a lock must do with everything that happens to it"]
    for name, scene, profiles, frame_bytes in SCENES:
        for profile in profiles:
            bench = traced(profile, frame_bytes)
            scene(bench)
            lines += lines_of(bench, f"{name} {profile.name}")
    return "\n".join(lines) + "\n"


def attacks() -> str:
    """The attack table, played against each profile."""
    lines = ["# the attack table: every case ends with a refusal"]
    for attack in ATTACKS:
        for profile in attack.profiles:
            bench = traced(profile)
            bench.tell_time()
            code = _refused(lambda attack=attack, bench=bench: attack.act(bench))  # type: ignore[misc]
            if code != ATT_CODES[attack.refusal]:
                raise AssertionError(f"{attack.name}: {code:#04x}")
            lines += lines_of(bench, f"{attack.name} {profile.name}")
    return "\n".join(lines) + "\n"


def frames() -> str:
    """`split KIND MESSAGE FRAME_BYTES BODY` with its `frame`s; `join` gives frames, then `message KIND BODY` or `refuse CODE`."""
    lines = ["# frames: split, and joining that is refused"]
    body = bytes(range(256)) + bytes(range(44))
    for kind, message, frame_bytes, length in (
        (Kind.HELLO, 0, 20, 24),
        (Kind.GETLOG, 255, 244, 0),
        (Kind.GRANT, 7, 182, 174),
        (Kind.GRANT, 8, 182, 176),
        (Kind.RESCUE, 9, 244, 300),
        (Kind.LOGPAGE, 256, 20, 200),
    ):
        lines.append(f"split {kind.value} {message} {frame_bytes} {body[:length].hex() or '-'}")
        lines += [
            f"frame {frame.hex()}" for frame in split(kind, body[:length], frame_bytes, message)
        ]
        lines.append("end")
    first, second, third = split(Kind.GRANT, bytes(40), 20, 1)
    for parts in (
        [b""],
        [b"\x01\x01\x00\x80\x00"],
        [b"\x02\x01\x00\x80\x00\x00"],
        [b"\x01\x7f\x00\x80\x00\x00"],
        [b"\x01\x01\x00\x80\x02\x81"],
        [b"\x01\x01\x00\x00\x00\x00"],
        [b"\x01\x01\x00\x80\x00\x00\x01"],
        [split(Kind.GRANT, bytes(238), 244)[0] + b"\x00"],
        [second],
        [first, third],
        [first, second[:2] + b"\x02" + second[3:]],
        [first, second[:1] + b"\x03" + second[2:]],
        [first, second[:-1], third],
        [first, second, third[:-1]],
        [first, second, second],
    ):
        lines.append("join")
        lines += [f"frame {part.hex() or '-'}" for part in parts]
        lines += [f"refuse {_join_refused(parts)}", "end"]
    return "\n".join(lines) + "\n"


def _join_refused(parts: list[bytes]) -> int:
    def join() -> None:
        state: Partial | None = None
        for part in parts:
            found = joined(state, part)
            state = found if isinstance(found, Partial) else None

    return _refused(join)


def log() -> str:
    """`first LOCK_ID HEAD`, then `event BYTES HEAD`."""
    head = first_head(LOCK_ID)
    lines = ["# the log's chain: the head after each event", f"first {LOCK_ID.hex()} {head.hex()}"]
    for seq, kind in enumerate(LockEventKind, start=1):
        data = bytes(range(seq % 17))
        event = encode_event(LockEvent(seq, 1_800_000_000 + seq, seq % 3, kind, b"grant-01", data))
        head = next_head(head, event)
        lines.append(f"event {event.hex()} {head.hex()}")
    return "\n".join(lines) + "\n"


def grants() -> str:
    """`grant CODE NOW MIN_CTR BYTES`: code 0 is good. From docs/specs/vectors/grants.json."""
    stored = json.loads(GRANTS.read_text("utf-8"))
    lines = [
        "# grants: what verifying gives, at a time and above a counter",
        f"lock {stored['lock_id']}",
    ]
    lines += [f"issuer {kid} {key}" for kid, key in sorted(stored["issuers"].items())]
    lines += [f"grant 0 1800000000 0 {one['grant']}" for one in stored["grants"]]
    lines += [
        f"grant {one['att']} {one['now']} {one['min_ctr']} {one['grant'] or '-'}"
        for one in stored["refused"]
    ]
    return "\n".join(lines) + "\n"


def _refused(act: Callable[[], object]) -> int:
    try:
        act()
    except GrantRefusedError as refused:
        return ATT_CODES[refused.reason]
    raise AssertionError("was accepted")


def files() -> dict[Path, str]:
    """Every file and its text."""
    made = {
        "sessions.txt": sessions(),
        "attacks.txt": attacks(),
        "frames.txt": frames(),
        "log.txt": log(),
        "grants.txt": grants(),
    }
    return {FOLDER / name: text for name, text in made.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "ascii")
