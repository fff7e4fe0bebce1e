"""A permit that links other work of the site stands and falls with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cloud.permits.crew import Crew

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud


SPACE = {
    "gateway": "gw-north", "name": "Well 8", "template": "sewer", "rules": "cn-industry-trade",
    "code": "QR-8", "live": {"gas_devices": ["gas-1"]},
}  # fmt: skip


def drafted(crew: Crew, **changed: object) -> str:
    crew.must("root", "PUT", "/permit-ledger/spaces/north/well-8", SPACE)
    made = crew.must("zhao", "POST", "/permits", {"site": "north", "form": crew.form(**changed)})
    return str(made["permit"]["id"])


def test_a_linked_permit_that_is_revoked_or_rejected_stops_this_one_and_stays_linked(
    cloud: RunningCloud, crew: Crew
) -> None:
    other = drafted(crew, space="well-8")
    crew.must("zhao", "POST", f"/permits/{other}/submit", {})
    permit = crew.active_from(crew.tested(linked=[other]))
    cloud.book.look()
    assert crew.state(permit) == "active"
    signed = {"reason": "not today", "code": crew.code("qian")}
    crew.must("qian", "POST", f"/permits/{other}/reject", signed)
    cloud.book.look()
    row = crew.must("bureau", "GET", f"/permits/{permit}")
    assert (row["state"], row["permit"]["cause"]) == ("suspended", "linked")
    assert [(o.permit, o.state.value) for o in crew.told(permit).others] == [(other, "rejected")]
    cloud.book.archive(other)
    assert [o.state.value for o in crew.told(permit).others] == ["rejected"]
    crew.must("li", "POST", f"/permits/{permit}/tools", {"way": "out", "count": 5})
    assert [o.state.value for o in crew.told(permit).others] == ["archived"]


def test_a_permit_that_links_one_that_is_not_there_or_has_ended_is_not_handed_in(
    crew: Crew,
) -> None:
    ended = drafted(crew, space="well-8")
    crew.must("zhao", "POST", f"/permits/{ended}/submit", {})
    signed = {"reason": "not today", "code": crew.code("qian")}
    crew.must("qian", "POST", f"/permits/{ended}/reject", signed)
    for linked in ("01ARZ3NDEKTSV4RRFFQ69G5FAV", ended):
        permit = drafted(crew, linked=[linked])
        refused = crew.why("zhao", "POST", f"/permits/{permit}/submit", {})
        assert refused["reason"] == "link-unknown"
        assert linked in refused["message"]
