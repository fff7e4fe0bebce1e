"""A working day over HTTP: apply, prove, approve with the second factor, work, stop, go on, close, take the bundle away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloud.identity.rules import Scope
from cloud.permits.bundle_check import check_bundle
from cloud.permits.granting import Granted, grants_of
from cloud.permits.photos import Photos
from cloud.permits.shown import Stop, stop_of
from tests.cloud.conftest import PASSWORD
from tests.cloud.permits.crew import GATEWAY_KEY, JPEG, LOCK, LOCK_KEY, Crew
from tocsin.errors import BadRequestError, NotFoundError
from tocsin.grants.claims import encode_claims
from tocsin.grants.grant import capability_key, check, verify
from tocsin.grants.ids import id_of
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_keys import gateway_key, open_sealed
from tocsin.grants.primitives import exchange_public, public_key
from tocsin.permits.facts import Moved
from tocsin.permits.names import Cause, State
from tocsin.permits.pins import is_pin

if TYPE_CHECKING:
    from cloud.alarms.silence import Condition
    from tests.cloud.conftest import RunningCloud


def test_a_day_from_application_to_the_bundle(cloud: RunningCloud, crew: Crew) -> None:
    permit = crew.approved()
    at = f"/permits/{permit}"
    made = crew.must("li", "POST", f"{at}/activate", {"place": "QR-7"})["permit"]
    assert (made["state"], len(made["permit"]["grants"])) == ("active", 2)
    assert made["outstanding_until_ns"] is not None
    for name in ("zhou", "wu", "zheng"):
        crew.must("li", "POST", f"{at}/enter", {"person": name})
    crew.wait_min(5)
    crew.must("li", "POST", f"{at}/attendant")
    cloud.book.look()
    assert crew.state(permit) == "active"
    crew.air(h2s=8.0)
    cloud.book.look()
    told = crew.must("bureau", "GET", at)
    assert (told["state"], told["permit"]["cause"], told["occupied"]) == ("suspended", "gas", True)
    (stands,) = [c for c in cloud.conditions if c.standing]
    assert (stands.rule, stands.level) == ("permit-suspended", 1)
    assert stop_of(stands.why) == Stop(permit, "gas", ("wu", "zheng", "zhou"))
    assert crew.why("li", "POST", f"{at}/enter", {"person": "wu"})["reason"] == "wrong-state"
    signed = {"reason": "aired", "code": crew.code("qian")}
    assert crew.why("qian", "POST", f"{at}/resume", signed)["reason"] == "still-inside"
    for name in ("zhou", "wu", "zheng"):
        crew.must(name, "POST", f"{at}/exit", {"person": name})
    assert crew.must("li", "GET", f"{at}/roster") == {
        "entrants": ["zhou", "wu", "zheng"],
        "inside": [],
        "entered_ever": ["wu", "zheng", "zhou"],
        "headcount_known": True,
    }
    crew.wait_min(10)
    crew.must("li", "POST", f"{at}/attendant")
    refused = crew.why("qian", "POST", f"{at}/resume", {"reason": "x", "code": crew.code("qian")})
    assert refused["reason"] == "test-before-suspension"
    assert refused["refusal"]["rule"]["citation"]
    crew.must("sun", "POST", f"{at}/gas-tests", crew.test_of())
    refused = crew.why("qian", "POST", f"{at}/resume", {"reason": "x", "code": crew.code("qian")})
    assert refused["reason"] == "gateway-behind"
    crew.gateway_keeps_all(permit)
    crew.must("qian", "POST", f"{at}/resume", {"reason": "aired", "code": crew.code("qian")})
    assert not any(c.standing for c in cloud.conditions[-3:])
    crew.must("zhao", "POST", f"{at}/finish", {})
    assert crew.why("li", "POST", f"{at}/close", {})["reason"] == "tools-left"
    crew.must("li", "POST", f"{at}/tools", {"way": "out", "count": 5})
    crew.must("zhao", "POST", f"{at}/hand-back", {})
    crew.gateway_keeps_all(permit)
    assert crew.why("qian", "POST", f"{at}/close", {})["reason"] == "attendant-first"
    crew.must("li", "POST", f"{at}/close", {})
    crew.gateway_keeps_all(permit)
    crew.must("qian", "POST", f"{at}/close", {})
    assert crew.state(permit) == "closed"
    bundle = crew.http.get(f"/api/v1{at}/export", headers=crew.headers["bureau"])
    assert bundle.status_code == 200
    report = check_bundle(bundle.content)
    assert report.problems == []
    assert report.counts["grants"] == 3  # the attendant's twice, the rescue team's once
    assert report.counts["pictures"] == 1


def test_a_grant_opens_this_lock_for_the_attendants_phone_and_is_sealed_to_the_gateway(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    down = crew.told(permit)
    assert len(down.grants) == 2  # and the rescue team's, for an emergency with the cloud away
    keys = crew.must("bureau", "GET", "/issuer-keys")
    issuers = IssuerKeys({bytes.fromhex(k["kid"]): bytes.fromhex(k["public"]) for k in keys})
    claims = verify(down.grants[0].cose, issuers).claims
    check(claims, lock_id=LOCK, now_s=crew.now_ns // 10**9)
    context = b"grant " + claims.cti
    secret = open_sealed(down.grants[0].sealed_key, GATEWAY_KEY, context=context)
    assert secret == capability_key(LOCK_KEY, encode_claims(claims))


def test_grants_are_renewed_while_all_is_well_and_not_afterwards(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    first = crew.must("li", "GET", f"/permits/{permit}")["outstanding_until_ns"]
    crew.wait_min(22)
    crew.must("li", "POST", f"/permits/{permit}/attendant")
    cloud.book.look()
    second = crew.must("li", "GET", f"/permits/{permit}")["outstanding_until_ns"]
    assert second > first
    crew.wait_min(22)  # nobody hears of the attendant
    cloud.book.look()
    told = crew.must("li", "GET", f"/permits/{permit}")
    assert (told["state"], told["permit"]["cause"]) == ("suspended", "attendant")
    assert told["outstanding_until_ns"] == second
    crew.wait_min(10)
    cloud.book.look()
    assert crew.must("li", "GET", f"/permits/{permit}")["outstanding_until_ns"] is None


def test_what_is_missing_is_said_with_its_rule(cloud: RunningCloud, crew: Crew) -> None:
    made = crew.must("zhao", "POST", "/permits", {"site": "north", "form": crew.form()})
    at = f"/permits/{made['permit']['id']}"
    crew.must("zhao", "POST", f"{at}/submit", {})
    crew.must("qian", "POST", f"{at}/prepare", {"reason": "fine"})
    refused = crew.why("sun", "POST", f"{at}/gas-tests", crew.test_of())
    assert (refused["code"], refused["reason"]) == ("permit.refused", "isolation-missing")
    assert "is not signed" in refused["message"]
    why = crew.must("zhao", "GET", f"{at}/why")["actions"]
    assert why["approve"]["reason"] == "wrong-state"
    assert why["hand-back"] is None


def test_a_stale_test_is_refused_and_sends_the_permit_back(cloud: RunningCloud, crew: Crew) -> None:
    permit = crew.tested()
    at = f"/permits/{permit}"
    crew.wait_min(31)
    signed = {"reason": "x", "code": crew.code("qian"), "place": "QR-7"}
    refused = crew.why("qian", "POST", f"{at}/approve", signed)
    assert refused["reason"] == "test-old"
    assert refused["refusal"]["rule"]["id"] == "test-age"
    cloud.book.look()
    assert crew.state(permit) == "prepared"


def test_nobody_approves_without_a_good_code_nor_their_own_work_nor_by_token(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.tested()
    at = f"/permits/{permit}/approve"
    for body in ({"reason": "x"}, {"reason": "", "code": "123456"}):
        assert crew.ask("qian", "POST", at, body).status_code == 400
    none = crew.ask("qian", "POST", at, {"reason": "x", "code": "000000"})
    assert (none.status_code, none.json()["error"]["reason"]) == (403, "no-second-factor")
    code = crew.code("qian")
    assert crew.why("qian", "POST", at, {"reason": "x", "code": code})["reason"] == "not-at-space"
    spent = crew.ask("qian", "POST", at, {"reason": "x", "code": code, "place": "QR-7"})
    assert (spent.status_code, spent.json()["error"]["reason"]) == (403, "bad-code")
    own = crew.why("zhao", "POST", at, {"reason": "x", "code": crew.code("zhao")})
    assert own["reason"] == "role-not-held"
    token = cloud.tokens.create("t", frozenset(Scope))[0]
    by_token = crew.http.post(
        f"/api/v1{at}",
        json={"reason": "x", "code": "1"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert by_token.status_code == 403


def test_whoever_is_of_another_site_sees_nothing_of_it(cloud: RunningCloud, crew: Crew) -> None:
    permit = crew.tested()
    other = cloud.token(Scope.READ, sites=frozenset({"south"}))
    assert crew.http.get("/api/v1/permits", headers=other).json() == []
    for path in ("", "/journal", "/roster", "/export"):
        answer = crew.http.get(f"/api/v1/permits/{permit}{path}", headers=other)
        assert answer.status_code == 404, path
    picture = crew.http.get(f"/api/v1/permit-ledger/photos/north/{crew.photo}", headers=other)
    assert picture.status_code == 404
    mine = cloud.token(Scope.READ, sites=frozenset({"north"}))
    picture = crew.http.get(f"/api/v1/permit-ledger/photos/north/{crew.photo}", headers=mine)
    assert picture.headers["content-type"] == "image/jpeg"


def test_a_pin_is_sent_to_the_gateway_as_scrypt_text_and_needs_the_password(
    cloud: RunningCloud, crew: Crew
) -> None:
    for body, status in (
        ({"password": "wrong", "pin": "482913"}, 401),
        ({"password": PASSWORD, "pin": "111111"}, 400),
        ({"password": PASSWORD, "pin": "123456"}, 400),
        ({"password": PASSWORD, "pin": "48291"}, 400),
        ({"password": PASSWORD, "pin": "482913"}, 204),
    ):
        assert crew.ask("li", "PUT", "/me/pin", body).status_code == status, body
    permit = crew.active()
    people = {p.account: p for p in crew.told(permit).people}
    assert is_pin(people["li"].pin, "482913")
    assert people["zhou"].pin == ""
    assert people["li"].roles == ("attendant",)
    assert people["li"].key == public_key(crew.seeds["li"])
    assert "tech" not in people


def test_a_technician_gets_what_a_gateway_needs_to_know_a_lock(
    cloud: RunningCloud, crew: Crew
) -> None:
    at = f"/locks/{LOCK.hex()}/gateway-keys"
    keys = crew.must("tech", "POST", at, {"gateway": "gw-north", "code": crew.code("tech")})
    assert keys["key"] == gateway_key(LOCK_KEY, id_of("gw-north"), 1).hex()
    assert (keys["gateway_id"], list(keys["issuers"])) == (id_of("gw-north").hex(), ["0001"])
    refused = crew.ask("li", "POST", at, {"gateway": "gw-north", "code": "000000"})
    assert refused.status_code == 403
    told = crew.must(
        "tech",
        "POST",
        f"/locks/{LOCK.hex()}/revoke",
        {"code": crew.code("tech"), "gateways_too": True},
    )
    assert told["epoch"] == 2
    again = crew.must("tech", "POST", at, {"gateway": "gw-north", "code": crew.code("tech")})
    assert again["key"] != keys["key"]
    assert LOCK_KEY.hex() not in str([told, keys, again])


def test_a_lost_phone_opens_nothing_any_more_not_even_for_the_rescue_team(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    granted = {g.rescue: g for g in grants_told(cloud, permit)}
    assert not crew.told(permit).denied
    for name, rescue in (("wang", True), ("li", False)):
        (phone,) = crew.must(name, "GET", "/me/keys")
        crew.must(name, "DELETE", f"/me/keys/{phone['holder']}")
        assert granted[rescue].cti in crew.told(permit).denied
    assert crew.told(permit).grants == ()
    assert all(g.void_ns for g in grants_told(cloud, permit))
    (lock,) = crew.must("tech", "GET", "/locks")
    assert lock["min_ctr"] > max(g.ctr for g in granted.values())
    cloud.book.look()
    assert crew.told(permit).grants == ()


def grants_told(cloud: RunningCloud, permit: str) -> list[Granted]:
    with cloud.engine.connect() as c:
        return grants_of(c, permit)


def test_the_key_of_a_gateway_is_replaced_by_an_admin_with_the_second_factor_alone(
    cloud: RunningCloud, crew: Crew
) -> None:
    at, key = "/gateways/gw-north/key", {"public": exchange_public(b"h" * 32).hex()}
    assert crew.ask("root", "PUT", at, key).status_code == 400
    assert crew.ask("root", "PUT", at, key | {"code": "000000"}).status_code == 403
    assert crew.ask("tech", "PUT", at, key | {"code": crew.code("tech")}).status_code == 403
    token = cloud.tokens.create("t", frozenset(Scope))[0]
    by_token = crew.http.put(
        f"/api/v1{at}",
        json=key | {"code": crew.code("root")},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert by_token.status_code == 403
    assert crew.must("root", "PUT", at, key | {"code": crew.code("root")}) == key


def test_pictures_are_bounded_and_nothing_else_passes_for_one(
    cloud: RunningCloud, crew: Crew
) -> None:
    at = "/api/v1/permit-ledger/photos/north"
    who = crew.headers["zhao"]
    for body in (b"", b"<svg onload=alert(1)>", JPEG * 40_000):
        answer = crew.http.post(at, content=body, headers=who)
        assert answer.status_code == 400, answer.text
    small = Photos(cloud.engine, cloud.permit_clock, cloud.directory / "few", 2 * len(JPEG) + 1)
    kept = small.keep("north", JPEG + b"1", "zhao")  # what the crew sent counts too
    assert small.read(kept.sha256) == JPEG + b"1"
    assert small.keep("north", JPEG + b"1", "zhao") == kept
    with pytest.raises(BadRequestError, match="are used"):
        small.keep("north", JPEG + b"2", "zhao")
    with pytest.raises(NotFoundError):
        small.get(kept.sha256, "south")


def test_an_ended_permit_is_archived_with_its_bundle_and_forgotten_when_its_time_is_over(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.tested()
    signed = {"reason": "not today", "code": crew.code("qian")}
    crew.must("qian", "POST", f"/permits/{permit}/revoke", signed)
    cloud.keeper.look()
    crew.wait_min(61)
    cloud.keeper.look()
    assert crew.state(permit) == "revoked"  # its gateway has not said that it knows
    crew.gateway_keeps_all(permit)
    crew.wait_min(61)
    cloud.keeper.look()
    told = crew.must("bureau", "GET", f"/permits/{permit}")
    assert (told["state"], told["keep_until_ns"] > crew.now_ns) == ("archived", True)
    file = cloud.directory / "permits" / "bundles" / f"{permit}.tar"
    assert check_bundle(file.read_bytes()).whole
    sent = crew.http.get(f"/api/v1/permits/{permit}/export", headers=crew.headers["bureau"])
    assert sent.content == file.read_bytes()
    crew.wait_min(3 * 366 * 24 * 60)
    cloud.keeper.look()
    assert crew.ask("bureau", "GET", f"/permits/{permit}").status_code == 404
    assert not file.exists()


def test_a_permit_that_gas_stopped_is_never_forgotten(cloud: RunningCloud, crew: Crew) -> None:
    permit = crew.active()
    crew.air(h2s=9.0)
    cloud.book.look()
    at = f"/permits/{permit}"
    crew.must("li", "POST", f"{at}/tools", {"way": "out", "count": 5})
    crew.must("zhao", "POST", f"{at}/hand-back", {})
    for name in ("li", "qian"):
        crew.gateway_keeps_all(permit)
        crew.must(name, "POST", f"{at}/close", {})
    crew.gateway_keeps_all(permit)
    crew.wait_min(61)
    cloud.keeper.look()
    told = crew.must("bureau", "GET", at)
    assert (told["state"], told["keep_until_ns"]) == ("archived", None)
    crew.wait_min(30 * 366 * 24 * 60)
    cloud.keeper.look()
    assert crew.state(permit) == "archived"


def test_the_end_of_a_permit_is_warned_of_twice_and_then_it_has_expired(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active("zhou")
    crew.must("li", "POST", f"/permits/{permit}/sos", {"reason": "his foot"})
    warned = []
    for minutes in (7 * 60 - 5, 10, 15, 10):  # of 8 hours, 31 min are over
        crew.wait_min(minutes)
        cloud.book.look()
        told = crew.must("bureau", "GET", f"/permits/{permit}")
        warned.append((told["state"], told["permit"]["warned"]))
    assert warned == [
        ("suspended", []), ("suspended", ["30"]), ("suspended", ["10", "30"]), ("expired", ["10", "30"]),
    ]  # fmt: skip
    assert told["occupied"] is True
    assert cloud.conditions[-1].rule == "permit-expired"
    assert cloud.conditions[-1].standing
    crew.must("zhou", "POST", f"/permits/{permit}/exit", {"person": "zhou"})


def test_each_call_for_help_is_an_alarm_of_its_own_and_an_emergency_one_of_level_2(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active("zhou")

    def stands() -> Condition:
        return [c for c in cloud.conditions if c.standing][-1]

    told = []
    for who in ("zhou", "li"):
        crew.must(who, "POST", f"/permits/{permit}/sos", {})
        told.append(stands())
        crew.wait_min(0.1)
    cloud.book.look()
    assert stands() == told[1], "looking again is no other call"
    assert told[0].occasion != told[1].occasion
    assert {stop_of(c.why) for c in told} == {Stop(permit, "sos", ("zhou",))}
    crew.must("zhou", "POST", f"/permits/{permit}/emergency", {"reason": "wu fell"})
    assert (stands().rule, stands().level) == ("permit-emergency", 2)
    assert stop_of(stands().why) is not None


def test_in_an_emergency_the_rescue_team_gets_grants_and_an_approver_ends_it(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active("zhou", "wu")
    crew.must("zhou", "POST", f"/permits/{permit}/emergency", {"reason": "wu fell"})
    down = crew.told(permit)
    assert len(down.grants) == 1
    noted = crew.must("bureau", "GET", f"/permits/{permit}")["permit"]["grants"]
    assert [(g["account"], g.get("rescue", False)) for g in noted] == [
        ("li", False),
        ("wang", True),
    ]
    assert (
        crew.why("li", "POST", f"/permits/{permit}/enter", {"person": "zheng"})["reason"]
        == "not-rescue"
    )
    crew.must("wang", "POST", f"/permits/{permit}/enter", {"person": "wang"})
    for name in ("zhou", "wu", "wang"):
        crew.must("wang", "POST", f"/permits/{permit}/exit", {"person": name})
    crew.must("wang", "POST", f"/permits/{permit}/rescue-ended", {})
    crew.must("qian", "POST", f"/permits/{permit}/rescue-ended", {})
    assert crew.state(permit) == "suspended"
    ended = crew.told(permit)
    assert (ended.grants, sorted(ended.denied)) == ((), sorted(g["cti"] for g in noted))
    lock = crew.must("tech", "GET", "/locks")[0]
    assert lock["min_ctr"] == lock["next_ctr"] == 3


def test_one_space_is_under_one_permit_at_a_time(cloud: RunningCloud, crew: Crew) -> None:
    first = crew.active()
    body = {"site": "north", "form": crew.form()}
    refused = crew.why("zhao", "POST", "/permits", body)
    assert (refused["reason"], first in refused["message"]) == ("space-taken", True)


def test_a_call_for_help_while_work_is_stopped_becomes_the_cause_and_an_alarm_of_its_own(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    crew.air(h2s=8.0)
    cloud.book.look()
    crew.must("zhou", "POST", f"/permits/{permit}/sos", {"reason": "his foot"})
    told = crew.must("bureau", "GET", f"/permits/{permit}")
    assert (told["state"], told["permit"]["cause"]) == ("suspended", "sos")
    newest = [c for c in cloud.conditions if c.rule == "permit-suspended"][-1]
    assert newest.standing
    assert newest.occasion.startswith(f"permit {permit}: sos at ")
    assert crew.told(permit).entries[-1].fact == Moved(
        State.SUSPENDED, State.SUSPENDED, Cause.SOS
    )  # so that the gateway sounds its siren
