"""What becomes of permits and keys reaches locks as orders; the lock here is the real machine behind a gateway's words."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.cloud.permits.crew import GATEWAY_KEY, LOCK, LOCK_KEY, Crew
from tocsin.contract.messages import VERSION, Event
from tocsin.grants.ids import id_of
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_keys import gateway_key, open_sealed, order_key
from tocsin.grants.lock_messages import (
    NONCE,
    UP,
    LockDown,
    LockNonce,
    LockOrder,
    LockUp,
    OrderResult,
    is_signed_lock_down,
    key_context,
)
from tocsin.grants.lock_orders import (
    REVOKE,
    ROTATE,
    TIME,
    RevokeOrder,
    RotateOrder,
    TimeOrder,
    read_maced,
    read_signed,
)

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud


class Air:
    """The gateway's side of the wire."""

    def __init__(self, cloud: RunningCloud, crew: Crew) -> None:
        self.cloud, self.crew = cloud, crew
        self.seen: Counter[bytes] = Counter()

    def look(self, lock: bytes = LOCK) -> dict[str, LockOrder]:
        """What is news in orders of a lock, by kind."""
        self.cloud.lock_orders.look()
        told = self.downs(lock)[self.seen[lock] :]
        self.seen[lock] += len(told)
        return {o.kind: o for o in told[-1].orders} if told else {}

    def downs(self, lock: bytes = LOCK) -> list[LockDown]:
        found = [
            msgspec.json.decode(body, type=LockDown)
            for topic, body in self.cloud.told
            if topic.endswith("/down/lock")
        ]
        assert all(is_signed_lock_down(down, b"key") for down in found)
        return [down for down in found if down.lock_id == lock]

    def says(self, kind: str, told: object, gateway: str = "gw-north") -> None:
        data: dict[str, Any] = msgspec.to_builtins(told)
        event = Event(VERSION, "north", gateway, "S", 0, kind, self.crew.now_ns, data=data)
        self.cloud.lock_orders.on_event(event, self.crew.now_ns)

    def answers(
        self, *orders: LockOrder, outcome: Any = "taken", reason: str = "", lock: bytes = LOCK
    ) -> None:
        results = tuple(OrderResult(o.id, outcome, 1, reason, 7) for o in orders)
        self.says(UP, LockUp(1, lock.hex(), (), results))

    def row(self, lock: bytes = LOCK) -> dict[str, Any]:
        rows = self.crew.must("bureau", "GET", "/lock-orders")["locks"]
        return next(r for r in rows if r["lock"] == lock.hex())


@pytest.fixture
def air(cloud: RunningCloud, crew: Crew) -> Air:
    found = Air(cloud, crew)
    first = found.look()
    assert set(first) == {"time"}, "a lock that was just commissioned is told the time"
    found.answers(first["time"])
    return found


def revoked(order: LockOrder) -> RevokeOrder:
    found = read_maced(REVOKE, order.order, order_key(LOCK_KEY))
    assert isinstance(found, RevokeOrder)
    return found


def test_a_suspension_revokes_the_attendants_grant_by_name_and_the_end_everything(
    cloud: RunningCloud, crew: Crew, air: Air
) -> None:
    permit = crew.active("zhou")
    assert air.look() == {}, "there is nothing to say"
    noted = crew.must("li", "GET", f"/permits/{permit}")["permit"]["grants"]
    crew.must("li", "POST", f"/permits/{permit}/suspend", {"reason": "thunder"})
    order = air.look()["revoke"]
    said = revoked(order)
    assert (said.min_ctr, said.gateway_epoch, said.revoked) == (2, 1, ()), (
        "rescue grants begin at 2"
    )
    row = air.row()
    assert (row["complete"], row["min_ctr"], row["held"]["min_ctr"]) == (False, 2, 0)
    assert [(o["kind"], o["gateway"], o["kept_ns"]) for o in row["open"]] == [
        ("revoke", "gw-north", None)
    ]
    air.says(UP, LockUp(1, LOCK.hex(), (order.id,)))
    assert air.row()["open"][0]["kept_ns"] is not None
    count = len(cloud.told)
    cloud.permit_clock.shift_ns += 60 * 10**9
    cloud.lock_orders.look()
    assert len(cloud.told) == count, "what a gateway keeps is not sent again"
    cloud.lock_orders.resend("gw-north")
    assert len(cloud.told) == count + 1, "but when it speaks anew"
    assert air.look() == {"revoke": order}
    air.answers(order, lock=b"LOCK9999")
    air.says(UP, LockUp(1, LOCK.hex(), (), (OrderResult(order.id, "taken", 1),)), "gw-south")
    assert not air.row()["complete"], "another's word is worth nothing"
    air.answers(order)
    row = air.row()
    assert (row["complete"], row["held"]["min_ctr"], row["open"]) == (True, 2, [])
    assert 0 < row["held"]["revoked_ns"] <= crew.now_ns

    crew.must("zhou", "POST", f"/permits/{permit}/exit", {"person": "zhou"})
    crew.must("sun", "POST", f"/permits/{permit}/gas-tests", crew.test_of())
    crew.must("li", "POST", f"/permits/{permit}/attendant")
    crew.air()
    again = {"reason": "over", "code": crew.code("qian")}
    crew.gateway_keeps_all(permit)
    crew.must("qian", "POST", f"/permits/{permit}/resume", again)
    assert air.look() == {}
    crew.must("zhou", "POST", f"/permits/{permit}/emergency", {"reason": "wu fell"})
    renewed = crew.must("li", "GET", f"/permits/{permit}")["permit"]["grants"]
    assert [g["account"] for g in renewed] == ["li", "wang", "li"]
    said = revoked(air.look()["revoke"])
    assert (said.min_ctr, [ctr for _, ctr in said.revoked]) == (2, [3]), "the rescue grant lives"
    assert said.revoked[0][0].hex() == renewed[2]["cti"] != noted[0]["cti"]
    for who in ("wang", "qian"):
        crew.must(who, "POST", f"/permits/{permit}/rescue-ended", {})
    said = revoked(air.look()["revoke"])
    assert (said.min_ctr, said.revoked) == (4, ()), "one order in place of the one under way"
    rows = crew.must("bureau", "GET", f"/locks/{LOCK.hex()}/orders")
    assert [r["outcome"] for r in rows] == ["", "replaced", "taken", "taken"]


def test_an_operator_voids_a_lock_and_its_gateways_and_the_new_key_goes_with_it(
    crew: Crew, air: Air
) -> None:
    permit = crew.active()
    body = {"code": crew.code("tech"), "gateways_too": True}
    crew.must("tech", "POST", f"/locks/{LOCK.hex()}/revoke", body)
    order = air.look()["revoke"]
    said = revoked(order)
    assert (said.min_ctr, said.gateway_epoch) == (3, 2)
    keys = {
        k.epoch: open_sealed(k.sealed, GATEWAY_KEY, context=key_context(LOCK, k.epoch))
        for k in air.downs()[-1].keys
    }
    assert keys == {n: gateway_key(LOCK_KEY, id_of("gw-north"), n) for n in (1, 2)}
    assert len(crew.told(permit).grants) == 2
    air.cloud.book.look()
    assert len(crew.must("li", "GET", f"/permits/{permit}")["permit"]["grants"]) == 4, "new ones"
    air.answers(order, outcome="refused", reason="bad-signature")
    row = air.row()
    assert (row["complete"], row["refused"][0]["reason"]) == (False, "bad-signature")
    air.cloud.permit_clock.shift_ns += 11 * 60 * 10**9
    assert air.look()["revoke"].id != order.id, "it is tried again"


def test_a_rotation_is_shown_lock_by_lock_and_switched_to_once_all_have_it(
    cloud: RunningCloud, crew: Crew, air: Air
) -> None:
    others = [b"LOCK0008", b"LOCK0009"]
    for number, lock in enumerate(others, 8):
        made = {
            "lock": lock.hex(), "key": os.urandom(32).hex(), "site": "north",
            "device": f"lock-{number}", "profile": "B", "code": crew.code("tech"),
        }  # fmt: skip
        crew.must("tech", "POST", "/locks", made)
        air.answers(air.look(lock)["time"], lock=lock)
    crew.must("root", "POST", "/issuer-keys", {"code": crew.code("root")})
    keys = crew.must("bureau", "GET", "/issuer-keys")
    held = IssuerKeys({bytes.fromhex(keys[0]["kid"]): bytes.fromhex(keys[0]["public"])})
    for lock in (LOCK, others[0]):
        order = air.look(lock)["rotate"]
        said = read_signed(ROTATE, order.order, held)
        assert isinstance(said, RotateOrder)
        assert (said.lock_id, said.key.hex()) == (lock, keys[1]["public"])
        air.answers(order, lock=lock)
    (waits, first) = crew.must("bureau", "GET", "/lock-orders")["issuers"][::-1]
    assert (waits["kid"], waits["held"], waits["locks"], waits["missing"]) == (
        "0002", 2, 3, ["north/lock-9"],
    )  # fmt: skip
    assert (first["state"], waits["state"]) == ("issues", "waits")
    body = {"code": crew.code("root")}
    refused = crew.ask("root", "POST", "/issuer-keys/switch", body).json()["error"]
    assert (refused["reason"], "north/lock-9" in refused["message"]) == ("not-taken", True)
    lines = crew.http.get("/permits/locks", headers=crew.headers["bureau"] | {"Accept-Language": "en"}).text  # fmt: skip
    assert "held by 2 of 3 locks" in lines
    assert lines.count('data-complete="true"') == 2
    late = air.look(others[1])["rotate"]
    air.answers(late, lock=others[1])
    crew.must("root", "POST", "/issuer-keys/switch", {"code": crew.code("root")})
    crew.must("root", "POST", "/issuer-keys", {"code": crew.code("root")})
    after = held.rotated(b"\x00\x02", bytes.fromhex(keys[1]["public"]))
    order = air.look(others[0])["rotate"]
    assert isinstance(read_signed(ROTATE, order.order, after), RotateOrder)
    air.answers(order, lock=others[0])
    old, now, _ = crew.must("bureau", "GET", "/lock-orders")["issuers"]
    assert (old["state"], old["refused"], old["locks"]) == ("retired", 1, 3)
    assert now["state"] == "issues"
    assert old["missing"] == ["north/lock-7", "north/lock-9"], "there it still opens"


def test_the_time_is_signed_over_the_nonce_that_a_gateway_sends(
    cloud: RunningCloud, crew: Crew, air: Air
) -> None:
    cloud.permit_clock.shift_ns += 25 * 3600 * 10**9
    order = air.look()["time"]
    assert order.order == b""
    nonce = b"n" * 16
    count = len(air.downs())
    for wrong in (
        LockNonce(1, LOCK.hex(), "nothing", nonce.hex()), LockNonce(1, LOCK.hex(), order.id, "xx"),
        LockNonce(1, "00" * 8, order.id, nonce.hex()),
    ):  # fmt: skip
        air.says(NONCE, wrong)
    air.says(NONCE, LockNonce(1, LOCK.hex(), order.id, nonce.hex()), "gw-south")
    air.says(NONCE, {"no": "nonce"})
    assert len(air.downs()) == count
    air.says(NONCE, LockNonce(1, LOCK.hex(), order.id, nonce.hex()))
    (sent,) = air.downs()[-1].orders
    said = read_maced(TIME, sent.order, order_key(LOCK_KEY))
    assert isinstance(said, TimeOrder)
    assert (sent.nonce, said.nonce, said.lock_id) == (nonce, nonce, LOCK)
    assert abs(said.unix_s - crew.now_ns // 10**9) < 5
    air.answers(sent)
    assert air.row()["held"]["time_ns"] is not None
