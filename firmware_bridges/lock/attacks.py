"""The attack table: what is tried at a bench lock, and what the lock must answer. docs/specs/lock.md, section 8.

Every attack starts at a lock that knows the time and opens for `bench.claims()`; it raises what the lock refuses with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from firmware_bridges.lock import client, forgeries
from firmware_bridges.lock.bench import GATEWAY, KID, LINK, LOCK_ID, Bench, seed
from firmware_bridges.lock.forgeries import THIEF
from firmware_bridges.lock.frames import Kind, Message, split
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import Connected, Disconnected
from firmware_bridges.lock.session import session_keys
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.claims import encode_claims
from tocsin.grants.grant import PROOF_UNLOCK, capability_key, issue, prove
from tocsin.grants.lock_keys import gateway_key, time_key
from tocsin.grants.lock_orders import (
    RevokeOrder,
    RotateOrder,
    TimeOrder,
    maced_order,
    signed_order,
)
from tocsin.grants.primitives import public_key

A, B = Profile.MAC_ONLY, Profile.SIGNATURES
BOTH: Final = (A, B)


class Attack(msgspec.Struct, frozen=True):
    """One attempt, the profiles it makes sense for, and the refusal it must meet."""

    name: str
    refusal: LockRefusal
    act: Callable[[Bench], object]
    profiles: tuple[Profile, ...] = BOTH


def _recorded(bench: Bench) -> list[bytes]:
    """A whole opening as a sniffer hears it."""
    before = len(bench.written)
    bench.unlock(bench.claims())
    return bench.written[before:]


def _replay(bench: Bench) -> None:
    frames = _recorded(bench)
    bench.happens(Disconnected(LINK))
    bench.happens(Connected(LINK, bench.frame_bytes))
    for frame in frames:
        bench.write(frame)


def _replay_without_hello(bench: Bench) -> None:
    frames = _recorded(bench)
    bench.happens(Disconnected(LINK))
    bench.happens(Connected(LINK, bench.frame_bytes))
    for frame in frames[1:]:
        bench.write(frame)


def _replay_in_session(bench: Bench) -> None:
    """The same sealed frame twice in one session."""
    bench.hello()
    session = bench.hello()
    _, message = client.get_log(session, 1, 1)
    bench.send(message)
    bench.send(message)


def _burnt(bench: Bench) -> None:
    """A refusal, then the right grant under the same nonce."""
    session = bench.hello()
    session, message = client.relock(session, b"whatever", 0)
    try:
        bench.send(message)
    except GrantRefusedError:
        bench.unlock(bench.claims(), session)


def _stale_nonce(bench: Bench) -> None:
    session = bench.hello()
    for _ in range(2):  # a word now and then keeps the link
        bench.pass_time(14)
        session, message = client.get_log(session, 1, 1)
        session, _ = client.read_page(session, bench.send(message))
    bench.pass_time(2)
    bench.unlock(bench.claims(), session)


def _used_nonce(bench: Bench) -> None:
    """A success uses the nonce up as well."""
    session = bench.hello()
    if bench.profile is A:
        payload = encode_claims(bench.claims(uses=2))
        key = capability_key(seed("lock"), payload)
        for _ in range(2):
            session, message = client.unlock_a(session, payload, key)
            session, _ = client.read_result(session, bench.send(message))
        return
    raw = issue(bench.claims(uses=2), kid=KID, seed=seed("issuer 1")).raw
    nonce = session.challenge.nonce
    session = forgeries.present(bench, raw, session)
    proof = prove(seed("holder"), PROOF_UNLOCK, nonce, LOCK_ID, b"grant-01")
    for _ in range(2):
        session, message = client.prove(session, public_key(seed("holder")), proof)
        session, _ = client.read_result(session, bench.send(message))


def _clock_turned_back(bench: Bench) -> None:
    """A stolen time key of earlier today is used to turn the clock back."""
    start = bench.unix_s - 7200
    bench.seconds += 4000
    bench.lock.restart()
    bench.tell_time()
    session = bench.hello()
    order = TimeOrder(LOCK_ID, start + 7200, session.challenge.nonce, 1)
    key = time_key(seed("lock"), GATEWAY, start, start + 80_000)
    span = start.to_bytes(4, "big") + (start + 80_000).to_bytes(4, "big")
    data = span + maced_order(order, key)
    bench.send(client.tell_time(session, client.DELEGATED, data)[1])


def _time_replayed(bench: Bench) -> None:
    """A TIME of the cloud, kept and given again under a later nonce."""
    session = bench.hello()
    form, order = bench.order(TimeOrder(LOCK_ID, bench.unix_s, session.challenge.nonce, 1))
    bench.pass_time(10)
    bench.send(client.tell_time(bench.hello(), form, order)[1])


def _time_forged(bench: Bench) -> None:
    session = bench.hello()
    order = TimeOrder(LOCK_ID, bench.unix_s + 5000, session.challenge.nonce, 1)
    if bench.profile is A:
        form, data = client.MACED, maced_order(order, seed("forger"))
    else:
        form, data = client.SIGNED, signed_order(order, kid=KID, seed=seed("forger"))
    bench.send(client.tell_time(session, form, data)[1])


def _revoke_forged(bench: Bench) -> None:
    """Whoever could say this would keep everybody out for good."""
    order = RevokeOrder(LOCK_ID, 2**31, 1)
    if bench.profile is A:
        form, data = client.MACED, maced_order(order, seed("forger"))
    else:
        form, data = client.SIGNED, signed_order(order, kid=KID, seed=seed("forger"))
    bench.send(client.revoke(bench.hello(), form, data)[1])


def _rotate_forged(bench: Bench) -> None:
    """Whoever could say this would issue grants from then on."""
    order = RotateOrder(LOCK_ID, b"\x00\x63", public_key(seed("forger")))
    data = signed_order(order, kid=KID, seed=seed("forger"))
    bench.send(client.rotate(bench.hello(), data)[1])


def _time_of_another_gateways_key(bench: Bench) -> None:
    session = bench.hello()
    start, end = bench.unix_s - 60, bench.unix_s + 3600
    key = time_key(seed("lock"), THIEF, start, end)
    order = TimeOrder(LOCK_ID, bench.unix_s, session.challenge.nonce, 1)
    span = start.to_bytes(4, "big") + end.to_bytes(4, "big")
    data = span + maced_order(order, key)
    bench.send(client.tell_time(session, client.DELEGATED, data)[1])


def _order_for_another_lock(bench: Bench) -> None:
    form, order = bench.order(RevokeOrder(b"lock-009", 18, 1))
    bench.send(client.revoke(bench.hello(), form, order)[1])


def _maced_order_to_signature_lock(bench: Bench) -> None:
    session = bench.hello()
    order = maced_order(RevokeOrder(LOCK_ID, 0, 1), seed("forger"))
    bench.send(client.revoke(session, client.MACED, order)[1])


def _older_version(bench: Bench) -> None:
    bench.hello()
    bench.write(b"\x00" + split(Kind.HELLO, bytes(24), 244)[0][1:])


def _in_the_clear(bench: Bench) -> None:
    """A grant that is not sealed."""
    bench.hello()
    bench.send(Message(Kind.GRANT, issue(bench.claims(), kid=KID, seed=seed("issuer 1")).raw))


def _without_gateway_key(bench: Bench) -> None:
    """Whoever has a grant but no K_gw reaches no signature check."""
    nonce = bench.entropy(16)
    bench.connect()
    answer = bench.send(client.hello(GATEWAY, nonce))
    keys = session_keys(seed("no key"), nonce, answer.body[:16])
    good = bench.hello()
    session = msgspec.structs.replace(good, keys=keys)
    bench.unlock(bench.claims(), session)


def _stolen_gateway_locked_out(bench: Bench) -> None:
    """A stolen gateway's key is of the epoch before."""
    bench.revoke(18, 2)
    nonce = bench.entropy(16)
    answer = bench.send(client.hello(GATEWAY, nonce))
    old = gateway_key(seed("lock"), GATEWAY, 1)
    keys = session_keys(old, nonce, answer.body[:16])
    good = bench.hello()
    bench.unlock(bench.claims(ctr=18), msgspec.structs.replace(good, keys=keys))


def _guessed(bench: Bench) -> None:
    """Five wrong tries; the sixth is right and comes too early."""
    for _ in range(5):
        try:
            bench.guess()
        except GrantRefusedError:
            continue
    bench.unlock(bench.claims())


def _truncated(bench: Bench) -> None:
    session = bench.hello()
    message = client.get_log(session, 1, 1)[1]
    bench.write(split(message.kind, message.body, 244, 9)[0][:-1])


def _oversize(bench: Bench) -> None:
    bench.hello()
    bench.write(split(Kind.GRANT, bytes(238), 244)[0] + b"\x00")


def _oversize_announced(bench: Bench) -> None:
    bench.hello()
    bench.write(b"\x01\x02\x00\x00\x02\x81" + bytes(238))


def _endless_parts(bench: Bench) -> None:
    """Parts beyond the length that was announced."""
    bench.hello()
    bench.write(b"\x01\x02\x07\x00\x00\xf0" + bytes(200))
    bench.write(b"\x01\x02\x07\x01\x00\xf0" + bytes(200))


def _second_part_first(bench: Bench) -> None:
    bench.hello()
    bench.write(b"\x01\x02\x07\x01\x00\xf0" + bytes(200))


def _locked_in(bench: Bench) -> None:
    """Someone tries to lock while two are inside."""
    bench.unlock(bench.claims())
    bench.relock(b"grant-01", 2)


def _after_broken_seal(bench: Bench) -> None:
    """A session in which one seal did not fit is over: what is right comes too late."""
    session = bench.hello()
    session, message = client.get_log(session, 1, 1)
    try:
        bench.send(Message(Kind.GETLOG, message.body[:-1] + bytes([message.body[-1] ^ 1])))
    except GrantRefusedError:
        bench.send(message)


def _session_of_an_older_epoch(bench: Bench) -> None:
    """The session that brought the new gateway epoch has the old key: it is over."""
    session = bench.hello()
    form, order = bench.order(RevokeOrder(LOCK_ID, 0, 2))
    session, message = client.revoke(session, form, order)
    session, _ = client.read_result(session, bench.send(message))
    bench.send(client.get_log(session, 1, 1)[1])


R = LockRefusal
ATTACKS: Final[tuple[Attack, ...]] = (
    Attack("an opening replayed from the start", R.BAD_SIGNATURE, _replay),
    Attack("an opening replayed without HELLO", R.NO_LIVE_NONCE, _replay_without_hello),
    Attack("a sealed frame replayed in its session", R.BAD_SIGNATURE, _replay_in_session),
    Attack("a grant used twice", R.ALREADY_USED, forgeries.twice),
    Attack("claims widened", R.BAD_SIGNATURE, forgeries.widened),
    Attack("another lock's grant", R.WRONG_LOCK, lambda b: b.unlock(b.claims(aud=b"lock-009"))),
    Attack("a forged issuer", R.BAD_SIGNATURE, forgeries.forged_issuer),
    Attack("an issuer key that is not ours", R.BAD_SIGNATURE, forgeries.unknown_issuer, (B,)),
    Attack("a stolen grant with the thief's key", R.BAD_HOLDER_PROOF, forgeries.stolen, (B,)),
    Attack(
        "a stolen grant, false proof", R.BAD_HOLDER_PROOF, forgeries.stolen_false_signature, (B,)
    ),
    Attack("a proof for another purpose", R.BAD_HOLDER_PROOF, forgeries.stolen_other_purpose, (B,)),
    Attack("a proof without a grant", R.NO_LIVE_NONCE, forgeries.proof_without_grant, (B,)),
    Attack(
        "claims overheard, their key unknown",
        R.BAD_SIGNATURE,
        forgeries.stolen_capability_unknown,
        (A,),
    ),
    Attack("revoked in bulk", R.REVOKED, forgeries.revoked_in_bulk),
    Attack("revoked singly", R.REVOKED, forgeries.revoked_singly),
    Attack("revoked between grant and proof", R.NO_LIVE_NONCE, forgeries.revoked_between, (B,)),
    Attack("a burnt nonce", R.NO_LIVE_NONCE, _burnt),
    Attack("a nonce of 30 s ago", R.NO_LIVE_NONCE, _stale_nonce),
    Attack("a nonce used up by a success", R.NO_LIVE_NONCE, _used_nonce),
    Attack(
        "a grant that ends before the proof", R.OUTSIDE_WINDOW, forgeries.ends_before_proof, (B,)
    ),
    Attack("a session whose seal broke", R.NO_LIVE_NONCE, _after_broken_seal),
    Attack("a session of an older epoch", R.NO_LIVE_NONCE, _session_of_an_older_epoch),
    Attack("an expired grant", R.OUTSIDE_WINDOW, forgeries.expired),
    Attack(
        "an expired grant, the lock's clock lost", R.TIME_UNKNOWN, forgeries.expired_after_power_cut
    ),
    Attack("the clock turned back", R.OUTSIDE_WINDOW, _clock_turned_back),
    Attack("a TIME replayed", R.NO_LIVE_NONCE, _time_replayed),
    Attack("a TIME forged", R.BAD_SIGNATURE, _time_forged),
    Attack("a TIME under another gateway's key", R.BAD_SIGNATURE, _time_of_another_gateways_key),
    Attack("a REVOKE forged", R.BAD_SIGNATURE, _revoke_forged),
    Attack("a ROTATE forged", R.BAD_SIGNATURE, _rotate_forged, (B,)),
    Attack("a grant passed off as an order", R.BAD_SIGNATURE, forgeries.grant_as_order, (B,)),
    Attack("another lock's order", R.WRONG_LOCK, _order_for_another_lock),
    Attack("downgrade to the other profile", R.NOT_ALLOWED, forgeries.other_profile),
    Attack("downgrade of an order to a MAC", R.NOT_ALLOWED, _maced_order_to_signature_lock, (B,)),
    Attack("an older protocol version", R.UNSUPPORTED_VERSION, _older_version),
    Attack("another algorithm", R.MALFORMED, forgeries.other_algorithm, (B,)),
    Attack("a grant that is not sealed", R.BAD_SIGNATURE, _in_the_clear),
    Attack("a grant without the gateway's key", R.BAD_SIGNATURE, _without_gateway_key),
    Attack("a stolen gateway of an older epoch", R.BAD_SIGNATURE, _stolen_gateway_locked_out),
    Attack("a stolen gateway's outstanding grant", R.REVOKED, forgeries.stolen_gateway_outstanding),
    Attack("a stolen gateway makes a grant", R.BAD_SIGNATURE, forgeries.stolen_gateway_mints),
    Attack("a grant of another gateway", R.NOT_ALLOWED, forgeries.another_gateways_grant),
    Attack("guessing", R.LOCKED_OUT, _guessed),
    Attack("a frame cut short", R.MALFORMED, _truncated),
    Attack("a frame too long", R.MALFORMED, _oversize),
    Attack("a message announced too long", R.MALFORMED, _oversize_announced),
    Attack("parts beyond the announced length", R.MALFORMED, _endless_parts),
    Attack("a part that begins nothing", R.MALFORMED, _second_part_first),
    Attack("one rescuer twice", R.BAD_HOLDER_PROOF, forgeries.one_rescuer_twice),
    Attack("a rescue with a thief", R.BAD_HOLDER_PROOF, forgeries.rescue_by_thief, (B,)),
    Attack("a rescue with ordinary grants", R.NOT_ALLOWED, forgeries.rescue_with_ordinary_grants),
    Attack("a rescue grant to unlock alone", R.NOT_ALLOWED, forgeries.unlock_with_rescue_grant),
    Attack("locking someone in", R.OCCUPIED, _locked_in),
)
