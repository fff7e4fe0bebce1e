"""What is presented that should not be: grants of others, forged, widened, stolen, over; part of the attack table."""

from __future__ import annotations

from typing import Final

from firmware_bridges.lock import client
from firmware_bridges.lock.bench import GATEWAY, KID, LOCK_ID, Bench, seed
from firmware_bridges.lock.gatt import Profile
from tocsin.grants import cbor
from tocsin.grants.claims import Claims, Op, encode_claims, holder_id
from tocsin.grants.grant import PROOF_RESCUE, PROOF_UNLOCK, capability_key, issue, prove
from tocsin.grants.lock_keys import gateway_key
from tocsin.grants.lock_orders import RevokeOrder
from tocsin.grants.primitives import public_key
from tocsin.grants.sign1 import parse_sign1

A: Final = Profile.MAC_ONLY
THIEF: Final = b"gw-stole"  # another gateway's id


def present(bench: Bench, raw: bytes, session: client.Session | None = None) -> client.Session:
    """A grant's bytes (profile B), up to the point where the holder proves."""
    session, message = client.grant(session or bench.hello(), raw)
    return client.read_result(session, bench.send(message))[0]


def show(bench: Bench, claims: bytes, key: bytes) -> None:
    """Claims under a capability key (profile A)."""
    bench.send(client.unlock_a(bench.hello(), claims, key)[1])


def twice(bench: Bench) -> None:
    bench.unlock(bench.claims())
    bench.unlock(bench.claims())


def widened(bench: Bench) -> None:
    narrow, wide = bench.claims(), bench.claims(uses=200, exp=bench.unix_s + 1740)
    if bench.profile is A:
        show(bench, encode_claims(wide), capability_key(seed("lock"), encode_claims(narrow)))
        return
    parts = parse_sign1(issue(narrow, kid=KID, seed=seed("issuer 1")).raw)
    four: tuple[cbor.Item, ...] = (parts.protected, {}, encode_claims(wide), parts.signature)
    present(bench, cbor.encode(cbor.Tagged(18, four)))


def forged_issuer(bench: Bench) -> None:
    if bench.profile is A:
        payload = encode_claims(bench.claims())
        show(bench, payload, capability_key(seed("another lock"), payload))
    else:
        present(bench, issue(bench.claims(), kid=KID, seed=seed("forger")).raw)


def unknown_issuer(bench: Bench) -> None:
    present(bench, issue(bench.claims(), kid=b"\x00\x09", seed=seed("issuer 1")).raw)


def stolen(bench: Bench) -> None:
    """The grant, and the thief's own key."""
    bench.unlock(bench.claims(), holder="thief")


def stolen_false_signature(bench: Bench) -> None:
    """The grant, the holder's public key, and the thief's signature."""
    session = bench.hello()
    nonce = session.challenge.nonce
    session = present(bench, issue(bench.claims(), kid=KID, seed=seed("issuer 1")).raw, session)
    proof = prove(seed("thief"), PROOF_UNLOCK, nonce, LOCK_ID, b"grant-01")
    bench.send(client.prove(session, public_key(seed("holder")), proof)[1])


def stolen_other_purpose(bench: Bench) -> None:
    """What the holder signed for a rescue does not unlock."""
    session = bench.hello()
    nonce = session.challenge.nonce
    session = present(bench, issue(bench.claims(), kid=KID, seed=seed("issuer 1")).raw, session)
    proof = prove(seed("holder"), PROOF_RESCUE, nonce, LOCK_ID, b"grant-01")
    bench.send(client.prove(session, public_key(seed("holder")), proof)[1])


def proof_without_grant(bench: Bench) -> None:
    session = bench.hello()
    proof = prove(seed("holder"), PROOF_UNLOCK, session.challenge.nonce, LOCK_ID, b"grant-01")
    bench.send(client.prove(session, public_key(seed("holder")), proof)[1])


def stolen_capability_unknown(bench: Bench) -> None:
    """The claims were overheard; their key was not."""
    bench.guess()


def revoked_in_bulk(bench: Bench) -> None:
    bench.revoke(18)
    bench.unlock(bench.claims(ctr=17))


def revoked_singly(bench: Bench) -> None:
    bench.revoke(0, 1, (b"grant-01", 17))
    bench.unlock(bench.claims())


def revoked_between(bench: Bench) -> None:
    """Revoked after the grant was shown and before the holder proves."""
    session = bench.hello()
    nonce = session.challenge.nonce
    session = present(bench, issue(bench.claims(), kid=KID, seed=seed("issuer 1")).raw, session)
    form, order = bench.order(RevokeOrder(LOCK_ID, 18, 1))
    session, message = client.revoke(session, form, order)
    bench.send(message)
    proof = prove(seed("holder"), PROOF_UNLOCK, nonce, LOCK_ID, b"grant-01")
    bench.send(client.prove(session, public_key(seed("holder")), proof)[1])


def expired(bench: Bench) -> None:
    old = bench.claims()
    bench.pass_time(1740)
    bench.unlock(old)


def expired_after_power_cut(bench: Bench) -> None:
    """Power is taken so that the lock forgets the time."""
    old = bench.claims()
    bench.seconds += 4000
    bench.lock.restart()
    bench.unlock(old)


def grant_as_order(bench: Bench) -> None:
    raw = issue(bench.claims(), kid=KID, seed=seed("issuer 1")).raw
    bench.send(client.revoke(bench.hello(), client.SIGNED, raw)[1])


def other_profile(bench: Bench) -> None:
    """A lock with signatures is asked to make do with a MAC, and the other way round."""
    session, claims = bench.hello(), bench.claims()
    if bench.profile is A:
        raw = issue(claims, kid=KID, seed=seed("issuer 1")).raw
        bench.send(client.grant(session, raw)[1])
    else:
        payload = encode_claims(claims)
        key = capability_key(seed("lock"), payload)
        bench.send(client.unlock_a(session, payload, key)[1])


def other_algorithm(bench: Bench) -> None:
    parts = parse_sign1(issue(bench.claims(), kid=KID, seed=seed("issuer 1")).raw)
    hmac_256 = cbor.encode({1: 5, 4: KID})
    four: tuple[cbor.Item, ...] = (hmac_256, {}, parts.payload, parts.signature)
    present(bench, cbor.encode(cbor.Tagged(18, four)))


def stolen_gateway_outstanding(bench: Bench) -> None:
    """What it still held is revoked with it."""
    bench.revoke(18, 2)
    bench.unlock(bench.claims(ctr=17))


def stolen_gateway_mints(bench: Bench) -> None:
    """It makes claims of its own from the keys it has."""
    payload = encode_claims(bench.claims(b"my grant", ctr=99))
    key = capability_key(gateway_key(seed("lock"), GATEWAY, 1), payload)
    if bench.profile is A:
        show(bench, payload, key)
    else:
        present(bench, issue(bench.claims(b"my grant"), kid=KID, seed=key).raw)


def another_gateways_grant(bench: Bench) -> None:
    bench.unlock(bench.claims(gw=GATEWAY), bench.hello(THIEF))


def one_rescuer_twice(bench: Bench) -> None:
    bench.rescue(("rescuer 1", "rescuer 1"))


def rescue_by_thief(bench: Bench) -> None:
    session = bench.hello()
    parts = []
    for number, holder, signer in ((1, "rescuer 1", "rescuer 1"), (2, "rescuer 2", "thief")):
        claims = _rescue_claims(bench, number, holder)
        parts.append(bench.rescue_part(session, claims, signer))
    bench.send(client.rescue(session, parts[0], parts[1])[1])


def rescue_with_ordinary_grants(bench: Bench) -> None:
    session = bench.hello()
    parts = []
    for number in (1, 2):
        holder = f"rescuer {number}"
        claims = bench.claims(
            b"grant-%02d" % number, sub=holder_id(public_key(seed(holder))), ops=Op.UNLOCK
        )
        parts.append(bench.rescue_part(session, claims, holder))
    bench.send(client.rescue(session, parts[0], parts[1])[1])


def unlock_with_rescue_grant(bench: Bench) -> None:
    bench.unlock(bench.claims(ops=Op.RESCUE, exp=bench.unix_s + 40_000))


def _rescue_claims(bench: Bench, number: int, holder: str) -> Claims:
    return bench.claims(
        b"rescue-%d" % number,
        sub=holder_id(public_key(seed(holder))),
        ops=Op.RESCUE,
        exp=bench.unix_s + 40_000,
    )


def ends_before_proof(bench: Bench) -> None:
    """The grant ends between GRANT and PROVE."""
    session = bench.hello()
    nonce = session.challenge.nonce
    claims = bench.claims(exp=bench.unix_s + 5)
    session = present(bench, issue(claims, kid=KID, seed=seed("issuer 1")).raw, session)
    bench.pass_time(6)
    proof = prove(seed("holder"), PROOF_UNLOCK, nonce, LOCK_ID, b"grant-01")
    bench.send(client.prove(session, public_key(seed("holder")), proof)[1])
