"""The C core for lock makers: built with every warning an error and the sanitizers on, it does what the Python lock does, to the letter.

The same vectors, then whatever hypothesis makes happen to the Python lock, written down as vectors and replayed in C.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridges.lock import client
from firmware_bridges.lock.bench import GATEWAY, KID, LINK, LOCK_ID, NOW, Bench, seed
from firmware_bridges.lock.frames import MAX_BODY_BYTES, Kind, Message, split
from firmware_bridges.lock.gatt import INFO, Profile
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
from scripts.lock_scenes import lines_of, traced, traced_lock
from scripts.lock_vectors import FOLDER
from tocsin.errors import GrantRefusedError
from tocsin.grants.att import ATT_CODES
from tocsin.grants.claims import Op, encode_claims, holder_id
from tocsin.grants.grant import capability_key, check, issue, verify
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_keys import time_key
from tocsin.grants.lock_orders import RevokeOrder, RotateOrder, TimeOrder, maced_order, signed_order
from tocsin.grants.primitives import public_key
from tocsin.grants.sign1 import sign1

SOURCE = FOLDER.parent / "c"
BOTH = pytest.mark.parametrize("profile", list(Profile))


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host program with sanitizers."""
    return built("host", tmp_path_factory.mktemp("core") / "lock_host")


def built(what: str, out: Path) -> Path:
    assert shutil.which("cc"), "no C compiler (apt-get install gcc libc6-dev libsodium-dev)"
    done = subprocess.run(
        [SOURCE / "build", what, out], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


def replayed(core: Path, lines: list[str]) -> tuple[int, str]:
    """Exit status of the C core after these lines, and what it says."""
    done = subprocess.run(
        [core, "vectors", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_core_does_what_every_vector_says(core: Path) -> None:
    files = sorted(FOLDER.glob("*.txt"))
    assert len(files) == 5
    done = subprocess.run(
        [core, "vectors", *files], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = sum(len(path.read_text("ascii").splitlines()) for path in files)
    checked = sum(int(line.split(" ")[1]) for line in done.stdout.splitlines())
    assert lines / 3 < checked < lines


def test_a_core_that_did_otherwise_would_be_found(core: Path) -> None:
    lines = (FOLDER / "attacks.txt").read_text("ascii").splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("out refuse"))
    changed = [*lines[:at], "out refuse 1 1", *lines[at + 1 :]]
    assert replayed(core, changed)[0] == 1
    assert replayed(core, lines[:at] + lines[at + 1 :])[0] == 1
    assert replayed(core, [*lines[:at], "in 0 00"])[0] != 0


def variants(data: bytes) -> Iterator[bytes]:
    """Every flipped bit, every cut, and one byte more."""
    for at in range(len(data) * 8):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        yield bytes(changed)
    yield from (data[:length] for length in range(len(data)))
    yield data + b"\x00"


def grant_line(raw: bytes, issuers: IssuerKeys) -> str:
    """What the Python code makes of a grant."""
    code = 0
    try:
        check(verify(raw, issuers).claims, lock_id=LOCK_ID, now_s=NOW)
    except GrantRefusedError as refused:
        code = ATT_CODES[refused.reason]
    return f"grant {code} {NOW} 0 {raw.hex() or '-'}"


def test_every_changed_grant_is_refused_for_the_same_reason(core: Path) -> None:
    """Changed on the way; and changed by the issuer itself before it signed, so that the claims are looked at."""
    bench = Bench(Profile.SIGNATURES)
    issuers = IssuerKeys({KID: public_key(seed("issuer 1"))})
    claims = bench.claims(gw=GATEWAY, ctr=70_000, uses=25)
    good = issue(claims, kid=KID, seed=seed("issuer 1")).raw
    lines = [f"lock {LOCK_ID.hex()}", f"issuer {KID.hex()} {issuers.keys[KID].hex()}"]
    lines += [grant_line(raw, issuers) for raw in (good, *variants(good))]
    lines += [
        grant_line(sign1(payload, kid=KID, seed=seed("issuer 1")), issuers)
        for payload in variants(encode_claims(claims))
    ]
    codes = {line.split(" ")[1] for line in lines[2:]}
    assert codes >= {"0", "128", "132", "133", "134"}
    status, said = replayed(core, lines)
    assert status == 0, said


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


@given(profile=st.sampled_from(list(Profile)), frame_bytes=st.integers(20, 244), doings=DOINGS)
@settings(max_examples=60)
def test_whatever_happens_both_locks_do_the_same(
    core: Path, profile: Profile, frame_bytes: int, doings: list[tuple[str, int, bytes]]
) -> None:
    life = Life(profile, frame_bytes)
    life.bench.connect()
    life.tell_time(0, b"")
    for verb, one, data in doings:
        life.act(verb, one, data)
    lines = lines_of(life.bench, "life")[:-2]
    read = life.bench.lock.read(INFO).hex()
    status, said = replayed(core, [*lines, f"info {life.bench.lock.now_s} {read}", "end"])
    assert status == 0, said


def assert_replays(core: Path, bench: Bench) -> None:
    status, said = replayed(core, lines_of(bench, "told"))
    assert status == 0, said


@BOTH
@pytest.mark.parametrize("lost", [b"", b"\x00" * 1024], ids=["erased", "spoilt"])
def test_a_lock_that_lost_its_state_is_void_alike(
    core: Path, profile: Profile, lost: bytes
) -> None:
    bench = traced(profile)
    bench.tell_time()
    for slot in (0, 1):
        traced_lock(bench).spoil(Area.STATE, slot, lost.ljust(1024, b"\xff"))
    bench.lock.restart()
    assert bench.lock.state.durable.min_ctr == 2**32 - 1
    bench.connect()
    for act in (bench.tell_time, lambda: bench.unlock(bench.claims()), bench.rescue):
        with suppress(GrantRefusedError):
            act()
    bench.happens(EgressUsed())
    assert_replays(core, bench)


@BOTH
def test_a_clock_at_the_end_of_32_bits_and_a_log_with_a_gap_are_taken_alike(
    core: Path, profile: Profile
) -> None:
    bench = traced(profile)
    bench.tell_time(2**32 - 2)
    bench.pass_time(10)
    for number in range(600):
        bench.happens(Tampered(number % 2 == 0))
        if number % 300 == 299:
            state = bench.lock.state
            bench.send(client.ack_log(bench.hello(), state.seq, state.head)[1])
    traced_lock(bench).spoil(Area.LOG, 200, bytes(64))
    bench.lock.restart()
    assert len(bench.lock.state.log) < 450
    bench.connect()
    bench.send(client.get_log(bench.hello(), 1, 16)[1])
    assert_replays(core, bench)


@BOTH
def test_what_flash_does_not_take_is_not_opened_but_for_a_rescue(
    core: Path, profile: Profile
) -> None:
    for rescue, found in ((False, "found:  refuse 1 130"), (True, "found:  actuate 1")):
        bench = traced(profile)
        bench.tell_time()
        lines = lines_of(bench, "worn out")[:-2]
        before = len(traced_lock(bench).lines)
        if rescue:
            bench.rescue()
        else:
            bench.unlock(bench.claims())
        status, said = replayed(
            core, [*lines, "failing 1", *traced_lock(bench).lines[before:], "end"]
        )
        assert status == 1
        assert found in said
        assert ("found:  actuate 1" in said) is rescue


def test_the_bench_tells_what_a_verification_costs(tmp_path: Path) -> None:
    program = built("bench", tmp_path / "bench")
    done = subprocess.run(
        [program, "bench", FOLDER / "grants.txt", "20"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["rounds"] == 20
    assert told["profile_a_ns"] > 0
    assert told["profile_b_ns"] > 0
