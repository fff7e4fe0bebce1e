"""Writes docs/specs/vectors/grants.json: grants, orders, derived keys and seals made from fixed seeds, and refusals.

`python -m scripts.grant_vectors` writes it anew; a test asserts that it is up to date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tocsin.errors import GrantRefusedError
from tocsin.grants import cbor, lock_orders
from tocsin.grants.att import ATT_CODES
from tocsin.grants.claims import MAX_CTR, Claims, Op, encode_claims, holder_id
from tocsin.grants.grant import (
    PROOF_UNLOCK,
    capability_key,
    check,
    holder_message,
    issue,
    prove,
    verify,
)
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_keys import (
    advert_key,
    gateway_key,
    order_key,
    seal_for_gateway,
    time_key,
)
from tocsin.grants.primitives import exchange_public, public_key, sha256
from tocsin.grants.sign1 import sign1

FILE = Path(__file__).parent.parent / "docs/specs/vectors/grants.json"
NOW = 1_800_000_000
LOCK_ID, GATEWAY, PERMIT = b"lock-008", b"gw-00007", b"permit-1"
KID, NEXT_KID = b"\x00\x01", b"\x00\x02"


def seed(name: str) -> bytes:
    """A private key for these vectors only: the SHA-256 of its name."""
    return sha256(b"tocsin vector ", name.encode())


def claims(**changes: Any) -> Claims:
    """The claims most vectors start from."""
    standard: dict[str, Any] = {
        "cti": b"grant-01",
        "sub": holder_id(public_key(seed("holder"))),
        "aud": LOCK_ID,
        "nbf": NOW - 60,
        "exp": NOW + 1740,
        "pmt": PERMIT,
        "ctr": 17,
        "ops": Op.UNLOCK | Op.RELOCK,
        "uses": 1,
    }
    return Claims(**(standard | changes))


def issuers() -> IssuerKeys:
    """Two live keys, as during a rotation."""
    return IssuerKeys({KID: public_key(seed("issuer 1")), NEXT_KID: public_key(seed("issuer 2"))})


def grants() -> list[dict[str, Any]]:
    """Good grants."""
    rescue = claims(ops=Op.RESCUE, exp=NOW - 60 + 86_400, cti=b"rescue-1")
    made = {
        "plain": (claims(), KID),
        "bound to a gateway": (claims(gw=GATEWAY), KID),
        "widest": (claims(gw=GATEWAY, ctr=MAX_CTR, uses=255), KID),
        "by the next issuer key": (claims(), NEXT_KID),
        "rescue": (rescue, KID),
    }
    out = []
    for name, (what, kid) in made.items():
        key = seed("issuer 1" if kid == KID else "issuer 2")
        payload = encode_claims(what)
        nonce = sha256(name.encode())[:16]
        out.append(
            {
                "name": name,
                "kid": kid.hex(),
                "claims": payload.hex(),
                "grant": issue(what, kid=kid, seed=key).raw.hex(),
                "k_grant": capability_key(seed("lock"), payload).hex(),
                "nonce": nonce.hex(),
                "holder_message": holder_message(PROOF_UNLOCK, nonce, LOCK_ID, what.cti).hex(),
                "proof": prove(seed("holder"), PROOF_UNLOCK, nonce, LOCK_ID, what.cti).hex(),
            }
        )
    return out


def refused() -> list[dict[str, Any]]:
    """Bytes that must be refused, and with which code; `now` and `min_ctr` are the verifier's."""
    good = issue(claims(), kid=KID, seed=seed("issuer 1")).raw
    payload = encode_claims(claims())
    protected = cbor.encode({1: -8, 4: KID})
    signature = good[-64:]

    def raw(**parts: Any) -> bytes:
        four = {"protected": protected, "beside": {}, "payload": payload, "signature": signature}
        return cbor.encode(cbor.Tagged(18, tuple((four | parts).values())))

    def issued(**changes: Any) -> bytes:
        return issue(claims(**changes), kid=KID, seed=seed("issuer 1")).raw

    unsorted = b"\xa6" + payload[11:21] + payload[1:11] + payload[21:]
    cases: list[tuple[str, bytes, int, int]] = [
        ("empty", b"", NOW, 0),
        ("cut by one byte", good[:-1], NOW, 0),
        ("one byte more", good + b"\x00", NOW, 0),
        ("without tag 18", good[1:], NOW, 0),
        ("tag 17", b"\xd1" + good[1:], NOW, 0),
        ("alg ES256", raw(protected=cbor.encode({1: -7, 4: KID})), NOW, 0),
        ("critical header", raw(protected=cbor.encode({1: -8, 2: (4,), 4: KID})), NOW, 0),
        ("kid of three bytes", raw(protected=cbor.encode({1: -8, 4: b"\x00\x00\x01"})), NOW, 0),
        ("unprotected header", raw(beside={4: KID}), NOW, 0),
        ("unknown issuer key", raw(protected=cbor.encode({1: -8, 4: b"\x00\x09"})), NOW, 0),
        (
            "forged issuer",
            issue(claims(), kid=KID, seed=seed("someone else")).raw,
            NOW,
            0,
        ),
        (
            "claims out of order, truly signed",
            sign1(unsorted, kid=KID, seed=seed("issuer 1")),
            NOW,
            0,
        ),
        (
            "an order is no grant",
            lock_orders.signed_order(
                lock_orders.RevokeOrder(LOCK_ID, 1, 0), kid=KID, seed=seed("issuer 1")
            ),
            NOW,
            0,
        ),
        (
            "widened: other payload under the signature",
            raw(payload=encode_claims(claims(uses=9))),
            NOW,
            0,
        ),
        ("other lock", issued(aud=b"lock-009"), NOW, 0),
        ("not yet", issued(nbf=NOW + 1, exp=NOW + 60), NOW, 0),
        ("over", issued(nbf=NOW - 60, exp=NOW), NOW, 0),
        ("revoked", issued(ctr=16), NOW, 17),
    ]
    out = []
    for name, data, now_s, min_ctr in cases:
        try:
            check(verify(data, issuers()).claims, lock_id=LOCK_ID, now_s=now_s, min_ctr=min_ctr)
        except GrantRefusedError as error:
            code = {"reason": error.reason.value, "att": ATT_CODES[error.reason]}
        else:
            raise AssertionError(f"{name}: was accepted")
        out.append({"name": name, "grant": data.hex(), "now": now_s, "min_ctr": min_ctr, **code})
    return out


def orders() -> list[dict[str, Any]]:
    """TIME, REVOKE and ROTATE."""
    time = lock_orders.TimeOrder(LOCK_ID, NOW, bytes(range(16)), 5)
    revoke = lock_orders.RevokeOrder(LOCK_ID, 18, 2, ((b"grant-05", 19),))
    rotate = lock_orders.RotateOrder(LOCK_ID, b"\x00\x03", public_key(seed("issuer 3")))
    out: list[dict[str, Any]] = []
    made: tuple[lock_orders.Order, ...] = (time, revoke, rotate)
    for order in made:
        out.append(
            {
                "kind": lock_orders.kind_of(order).decode(),
                "payload": lock_orders.encode_order(order).hex(),
                "signed": lock_orders.signed_order(
                    order, kid=NEXT_KID, seed=seed("issuer 2")
                ).hex(),
            }
        )
        if not isinstance(order, lock_orders.RotateOrder):
            maced = lock_orders.maced_order(order, order_key(seed("lock")))
            out[-1]["maced"] = maced.hex()
    delegated = time_key(seed("lock"), GATEWAY, NOW - 3600, NOW + 3600)
    out[0]["delegated"] = lock_orders.maced_order(time, delegated).hex()
    return out


def vectors() -> dict[str, Any]:
    """Everything the file holds."""
    lock, gateway = seed("lock"), seed("gateway exchange")
    secret, context = capability_key(lock, encode_claims(claims())), b"grant " + b"grant-01"
    return {
        "about": "made by scripts/grant_vectors.py; docs/specs/grant.md says what each is. All bytes in hex. "
        "A private key is SHA-256('tocsin vector ' + its name).",
        "issuers": {kid.hex(): key.hex() for kid, key in issuers().keys.items()},
        "lock_id": LOCK_ID.hex(),
        "gateway_id": GATEWAY.hex(),
        "k_lock": lock.hex(),
        "holder_public": public_key(seed("holder")).hex(),
        "holder_id": holder_id(public_key(seed("holder"))).hex(),
        "grants": grants(),
        "refused": refused(),
        "orders": orders(),
        "keys": {
            "k_gw epoch 1": gateway_key(lock, GATEWAY, 1).hex(),
            "k_order": order_key(lock).hex(),
            "k_adv": advert_key(lock).hex(),
            "k_time": time_key(lock, GATEWAY, NOW - 3600, NOW + 3600).hex(),
        },
        "seal": {
            "gateway_private": gateway.hex(),
            "gateway_public": exchange_public(gateway).hex(),
            "once": seed("once").hex(),
            "context": context.hex(),
            "secret": secret.hex(),
            "sealed": seal_for_gateway(
                secret, exchange_public(gateway), context=context, once=seed("once")
            ).hex(),
        },
    }


def text() -> str:
    """The file's text."""
    return json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
