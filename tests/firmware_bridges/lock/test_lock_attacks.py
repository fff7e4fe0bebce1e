"""The attack table: every attempt meets the intended refusal, moves nothing, and stands in the lock's own log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.lock import client
from firmware_bridges.lock.attacks import ATTACKS, Attack
from firmware_bridges.lock.bench import KID, LINK, LOCK_ID, Bench, seed
from firmware_bridges.lock.frames import Kind, Message
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import Actuate, Connected, Disconnected
from firmware_bridges.lock.session import open_body, seal_body
from firmware_bridges.lock.state import MAX_LOCKOUT_S
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.att import ATT_CODES
from tocsin.grants.claims import encode_claims
from tocsin.grants.grant import PROOF_UNLOCK, capability_key, issue, prove
from tocsin.grants.lock_log import LockEventKind, verify_chain
from tocsin.grants.primitives import public_key

CASES = [
    pytest.param(attack, profile, id=f"{attack.name} ({profile.name})")
    for attack in ATTACKS
    for profile in attack.profiles
]
BOTH = pytest.mark.parametrize("profile", list(Profile))


def ready(profile: Profile) -> Bench:
    bench = Bench(profile)
    bench.tell_time()
    return bench


@pytest.mark.parametrize(("attack", "profile"), CASES)
def test_an_attack_is_refused_with_its_code_and_logged_in_the_locks_chain(
    attack: Attack, profile: Profile
) -> None:
    bench = ready(profile)
    with pytest.raises(GrantRefusedError) as refused:
        attack.act(bench)
    assert refused.value.reason is attack.refusal
    opened = bench.kinds().count(LockEventKind.UNLOCK)
    assert bench.lock.state.is_unlocked == (opened > 0)  # only where the attack begins with one
    denied = bench.log()[-1]
    assert (denied.kind, denied.data[0]) == (LockEventKind.DENY, ATT_CODES[attack.refusal])
    state = bench.lock.state
    events = [record.event for record in state.log]
    assert verify_chain(events, head=state.base, seq=0, wanted_head=state.head).fault is None
    session = state.link.session if state.link else None
    assert session is None or session.nonce is None
    bench.pass_time(60)
    good = bench.claims(b"good one", ctr=2**31)
    if state.durable.gateway_epoch > 1 or bench.lock.state.clock is None:
        bench.tell_time()
    assert bench.unlock(good).code == 0, "after an attack the lock still opens for the right grant"


def test_the_table_has_every_attack_of_the_study() -> None:
    text = " ".join(attack.name for attack in ATTACKS)
    for word in (
        "replayed",
        "widened",
        "another lock",
        "forged issuer",
        "stolen grant",
        "revoked",
        "burnt nonce",
        "clock lost",
        "downgrade",
        "stolen gateway",
        "guessing",
        "cut short",
        "too long",
    ):
        assert word in text


@BOTH
def test_a_flipped_bit_in_any_byte_of_an_opening_never_opens(profile: Profile) -> None:
    recorder = ready(profile)
    before = len(recorder.written)
    recorder.unlock(recorder.claims())
    sizes = [len(frame) for frame in recorder.written[before:]]
    allowed = {
        LockRefusal.MALFORMED,
        LockRefusal.UNSUPPORTED_VERSION,
        LockRefusal.NO_LIVE_NONCE,
        LockRefusal.BAD_SIGNATURE,
    }
    for number, size in enumerate(sizes):
        for at in (*range(2), *range(3, size)):  # byte 2 only tells parts of two messages apart
            reason, bench = tried_with_flip(profile, number, at, 1 << at % 8)
            assert not bench.lock.state.is_unlocked
            assert reason is None or reason in allowed
            if reason is not None:
                denied = bench.log()[-1]
                assert (denied.kind, denied.data[0]) == (LockEventKind.DENY, ATT_CODES[reason])


def tried_with_flip(
    profile: Profile, number: int, at: int, bit: int
) -> tuple[LockRefusal | None, Bench]:
    """An opening in whose frame `number` one bit is changed on the way; None: the client itself noticed, or waits."""
    bench = ready(profile)
    start, right = len(bench.written), bench.write

    def changed(frame: bytes, link: int = LINK) -> object:
        if len(bench.written) - start == number:
            frame = frame[:at] + bytes([frame[at] ^ bit]) + frame[at + 1 :]
        return right(frame, link)

    bench.write = changed  # type: ignore[method-assign, assignment]
    try:
        bench.unlock(bench.claims())
    except GrantRefusedError as refused:
        noticed_by_client = bench.log()[-1].kind != LockEventKind.DENY
        return (None if noticed_by_client else refused.reason), bench
    except AssertionError:
        return None, bench
    raise AssertionError(f"opened with byte {at} of frame {number} changed")


@BOTH
def test_a_gateway_that_changes_any_byte_inside_its_session_opens_nothing(
    profile: Profile,
) -> None:
    """A courier with K_gw seals what it changed: issuer, holder and K_grant still stand against it."""
    bench = ready(profile)
    claims = bench.claims()
    if profile is Profile.MAC_ONLY:
        payload = encode_claims(claims)
        for at in range(len(payload) + 16):
            bench.pass_time(MAX_LOCKOUT_S)  # past any lockout
            session = bench.hello()
            _, message = client.unlock_a(session, payload, capability_key(seed("lock"), payload))
            plain = open_body(session.keys, Kind.UNLOCK_A, message.body)[1]
            refuses(bench, session, Kind.UNLOCK_A, flipped(plain, at))
        return
    raw = issue(claims, kid=KID, seed=seed("issuer 1")).raw
    for at in range(len(raw)):
        bench.pass_time(MAX_LOCKOUT_S)
        refuses(bench, bench.hello(), Kind.GRANT, flipped(raw, at))
    for at in range(96):
        bench.pass_time(MAX_LOCKOUT_S)  # past any lockout
        fresh = bench.claims()
        session = bench.hello()
        nonce = session.challenge.nonce
        session, message = client.grant(session, issue(fresh, kid=KID, seed=seed("issuer 1")).raw)
        session, _ = client.read_result(session, bench.send(message))
        proof = prove(seed("holder"), PROOF_UNLOCK, nonce, LOCK_ID, fresh.cti)
        refuses(bench, session, Kind.PROVE, flipped(public_key(seed("holder")) + proof, at))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]


def refuses(bench: Bench, session: client.Session, kind: Kind, plain: bytes) -> None:
    """What is sealed rightly is refused all the same."""
    _, body = seal_body(session.keys, kind, plain)
    with pytest.raises(GrantRefusedError) as refused:
        bench.send(Message(kind, body))
    assert refused.value.reason in CHANGED
    assert not bench.lock.state.is_unlocked


CHANGED = {
    LockRefusal.MALFORMED,
    LockRefusal.BAD_SIGNATURE,
    LockRefusal.WRONG_LOCK,
    LockRefusal.OUTSIDE_WINDOW,
    LockRefusal.BAD_HOLDER_PROOF,
}


@BOTH
def test_lockout_doubles_to_fifteen_minutes_and_ends_with_an_opening(profile: Profile) -> None:
    bench = ready(profile)
    lengths = []
    for _ in range(6):
        for _ in range(5):
            with pytest.raises(GrantRefusedError):
                bench.guess()
        lengths.append(int.from_bytes(bench.log()[-2].data, "big"))
        bench.pass_time(lengths[-1] - 1)
        with pytest.raises(GrantRefusedError) as refused:
            bench.unlock(bench.claims(b"too soon"))
        assert refused.value.reason is LockRefusal.LOCKED_OUT
        bench.pass_time(1)
    assert lengths == [60, 120, 240, 480, MAX_LOCKOUT_S, MAX_LOCKOUT_S]
    bench.unlock(bench.claims())
    for _ in range(5):
        with pytest.raises(GrantRefusedError):
            bench.guess()
    assert bench.log()[-2].data == b"\x00\x3c"


@BOTH
def test_lockout_stops_neither_rescue_nor_relock_nor_the_log(profile: Profile) -> None:
    bench = ready(profile)
    for _ in range(5):
        with pytest.raises(GrantRefusedError):
            bench.guess()
    bench.tell_time()
    assert bench.rescue().code == 0
    assert bench.relock(b"rescue-1", 0).code == 0


@given(st.lists(st.binary(max_size=260), max_size=12), st.sampled_from(list(Profile)))
def test_whatever_is_written_is_answered_and_opens_nothing(
    frames: list[bytes], profile: Profile
) -> None:
    bench = ready(profile)
    bench.happens(Disconnected(LINK))
    bench.happens(Connected(LINK, 244))
    for frame in frames:
        try:
            effects = bench.write(frame)
        except GrantRefusedError as refused:
            assert refused.reason in ATT_CODES  # noqa: PT017
        else:
            assert not any(isinstance(effect, Actuate) for effect in effects)
    assert not bench.lock.state.is_unlocked
