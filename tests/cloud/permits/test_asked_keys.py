"""A phone key that was made at a gateway's page: nobody's until a person confirms it, and refused with its reason."""

from __future__ import annotations

import msgspec

from cloud.identity.rules import Role
from cloud.permits.asked_keys import MOST
from tests.cloud.permits.crew import Crew
from tocsin.contract.messages import VERSION, Event
from tocsin.grants.claims import holder_id
from tocsin.grants.primitives import public_key, sign
from tocsin.permits.messages import KEY_UP, KeyUp


def carry(crew: Crew, account: str, seed: bytes, proof: bytes = b"") -> str:
    """The gateway tells of a key; its holder id."""
    up = KeyUp(account, public_key(seed), proof or sign(seed, b"HOLD1" + account.encode()))
    data = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(up)))
    event = Event(VERSION, "north", "gw-north", "S", 0, KEY_UP, crew.now_ns, data=data)
    for _ in range(2):  # its commit-ack was lost
        crew.cloud.book.on_event(event, crew.now_ns)
    return holder_id(public_key(seed)).hex()


def phones(crew: Crew, permit: str, account: str) -> dict[str, str]:
    """As the gateway was told last."""
    return next(p.phones for p in crew.told(permit).people if p.account == account)


def test_a_key_of_the_gateways_page_gets_grants_once_somebody_who_may_has_confirmed_it(
    crew: Crew,
) -> None:
    permit = crew.active()
    new = carry(crew, "li", b"n" * 32)
    old = holder_id(public_key(crew.seeds["li"])).hex()
    assert phones(crew, permit, "li") == {old: "confirmed", new: "waiting"}
    at = f"/asked-keys/north/{new}"
    for who, sees in (("li", True), ("tech", True), ("qian", True), ("zhou", False)):
        asked = crew.must(who, "GET", "/asked-keys")
        assert [k["holder"] for k in asked] == ([new] if sees else []), who
    crew.code("zhou")
    code = crew.code("zhou")
    assert crew.ask("zhou", "POST", f"{at}/confirm", {"code": code}).status_code == 403
    assert crew.ask("tech", "POST", f"{at}/confirm", {"code": "000000"}).status_code == 403
    assert phones(crew, permit, "li")[new] == "waiting"
    made = crew.must("tech", "POST", f"{at}/confirm", {"code": crew.code("tech")})
    assert (made["account"], made["name"]) == ("li", "gw-north")
    assert phones(crew, permit, "li") == {old: "confirmed", new: "confirmed"}
    assert crew.must("li", "GET", "/asked-keys") == []
    crew.wait_min(25)
    crew.must("li", "POST", f"/permits/{permit}/attendant")
    crew.cloud.book.look()
    granted = {
        g["holder"] for g in crew.must("li", "GET", f"/permits/{permit}")["permit"]["grants"]
    }
    assert new in granted


def test_what_cannot_be_somebodys_phone_is_refused_and_the_gateway_is_told_why(crew: Crew) -> None:
    permit = crew.active()
    forged = carry(crew, "li", b"f" * 32, bytes(64))
    stolen = carry(crew, "wang", crew.seeds["li"])
    crew.cloud.account("visitor", Role.VIEWER, None)
    nobody = carry(crew, "visitor", b"v" * 32)
    assert phones(crew, permit, "li")[forged] == "bad-proof"
    assert phones(crew, permit, "wang")[stolen] == "taken"
    assert nobody not in {k["holder"] for k in crew.must("tech", "GET", "/asked-keys")}
    new = carry(crew, "li", b"n" * 32)
    answer = crew.ask(
        "tech", "POST", f"/asked-keys/north/{forged}/confirm", {"code": crew.code("tech")}
    )
    assert "bad-proof" in answer.text
    body = {"code": crew.code("qian"), "reason": "the number on the phone is another one"}
    crew.must("qian", "POST", f"/asked-keys/north/{new}/refuse", body)
    assert phones(crew, permit, "li")[new] == body["reason"]
    many = [carry(crew, "li", bytes([n]) * 32) for n in range(1, MOST + 3)]
    waiting = {h for h, s in phones(crew, permit, "li").items() if s == "waiting"}
    assert waiting == set(many[-MOST:]), "the oldest went first"
