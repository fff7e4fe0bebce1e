"""What a gateway wrote alone is taken, merged, answered; what is not its to say, or does not follow, is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import update

from cloud.permits.tables import permit_entries
from tests.cloud.permits.crew import Crew
from tocsin.contract.messages import VERSION, Event
from tocsin.errors import StoreError
from tocsin.permits import facts
from tocsin.permits.journal import CLOUD, Entry, entry_bytes, entry_hash, gateway_source, read_entry
from tocsin.permits.messages import UP
from tocsin.permits.names import Action, Cause, Role, State, TimeQuality
from tocsin.permits.requests import Request
from tocsin.permits.writing import written

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud

GATEWAY = gateway_source("gw-north")


def journal(crew: Crew, permit: str) -> list[Entry]:
    """As the API tells it."""
    told = crew.must("bureau", "GET", f"/permits/{permit}/journal")
    return [read_entry(msgspec.json.encode(row["entry"])) for row in told]


def suspended(crew: Crew, permit: str, source: str = GATEWAY) -> list[Entry]:
    """The gateway stopped it alone, and saw two people out."""
    known = journal(crew, permit)
    request = Request(Action.SUSPEND, source, Role.SYSTEM, "gas", cause=Cause.GAS)
    out = Request(Action.EXIT, "li", Role.ATTENDANT)
    version = known[0].rules
    moved = facts.Moved(State.ACTIVE, State.SUSPENDED, Cause.GAS)
    first = written(permit, known, source, request, [moved], crew.now_ns, TimeQuality.FREE, version)
    rest = written(
        permit, [*known, *first], source, out, [facts.Exited("zhou"), facts.Exited("wu")],
        crew.now_ns, TimeQuality.FREE, version,
    )  # fmt: skip
    return [*first, *rest]


def test_what_it_decided_alone_holds_and_its_entries_are_acknowledged(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active("zhou", "wu", "zheng")
    entries = suspended(crew, permit)
    crew.gateway_says(permit, *entries)
    told = crew.must("bureau", "GET", f"/permits/{permit}")
    assert (told["state"], told["permit"]["cause"]) == ("suspended", "gas")
    assert told["permit"]["inside"] == ["zheng"]
    assert [c.rule for c in cloud.conditions if c.standing] == ["permit-suspended"]
    assert crew.told(permit).have == 3
    before = len(journal(crew, permit))
    crew.gateway_says(permit, *entries)  # the commit-ack was lost
    assert len(journal(crew, permit)) == before
    assert crew.told(permit).have == 3


def test_entries_wait_for_what_is_missing_and_a_fork_is_never_taken(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active("zhou", "wu")
    entries = suspended(crew, permit)
    crew.gateway_says(permit, *entries[1:])
    assert crew.state(permit) == "active"
    assert crew.told(permit).have == 0
    crew.gateway_says(permit, *entries)
    assert crew.told(permit).have == 3
    forked = msgspec.structs.replace(entries[2], fact=facts.Exited("zheng"))
    crew.gateway_says(permit, forked)
    assert [e for e in journal(crew, permit) if e.source == GATEWAY] == entries


def test_nobody_writes_in_anothers_name(cloud: RunningCloud, crew: Crew) -> None:
    permit = crew.active("zhou", "wu")
    before = journal(crew, permit)
    crew.gateway_says(permit, *suspended(crew, permit, "gateway:gw-south"))
    crew.gateway_says(permit, *suspended(crew, permit, "cloud"))
    broken = [msgspec.structs.replace(e, prev="1" * 64) for e in suspended(crew, permit)]
    crew.gateway_says(permit, *broken)
    assert [e for e in journal(crew, permit) if e.source != CLOUD] == []
    before = journal(crew, permit)
    up = {"v": 1, "permit": permit, "gateway": "gw-south", "state": "suspended"}
    entries = msgspec.to_builtins(suspended(crew, permit))
    for gateway, data in (
        ("gw-south", up | {"entries": entries}),
        ("gw-north", {"permit": permit}),
        ("gw-north", up | {"permit": "NONE"}),
        ("gw-north", up | {"entries": [{"fact": 1}]}),
    ):
        event = Event(VERSION, "north", gateway, "S", 0, UP, crew.now_ns, data=data)
        cloud.book.on_event(event, crew.now_ns)
    assert journal(crew, permit) == before


def test_a_gateway_is_told_again_until_it_says_that_it_keeps_everything(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    crew.must("li", "POST", f"/permits/{permit}/attendant")
    assert crew.told(permit).entries
    sent = len(cloud.told)
    cloud.permit_clock.shift_ns += 6 * 10**9
    cloud.book.look()
    assert len(cloud.told) == sent  # it is not heard: its broker's queue need not fill
    cloud.heard_ns = crew.now_ns
    for _ in range(3):
        cloud.book.look()
    assert len(cloud.told) == sent + 1
    crew.gateway_keeps_all(permit)
    sent = len(cloud.told)
    cloud.book.look()
    assert len(cloud.told) == sent
    cloud.book.resend("gw-north")
    assert crew.told(permit).entries == ()


def test_a_changed_database_is_found_when_the_journal_is_loaded(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.tested()
    entry = journal(crew, permit)[2]
    other = msgspec.structs.replace(entry, actor="nobody")

    with cloud.engine.begin() as c:
        mine = (permit_entries.c.permit == permit, permit_entries.c.seq == entry.seq)
        c.execute(
            update(permit_entries)
            .where(*mine)
            .values(body=entry_bytes(other), hash=entry_hash(other))
        )
    with pytest.raises(StoreError, match="was changed"):
        cloud.book.row(permit)
    cloud.book.look()  # the others are watched all the same
    listed = crew.must("bureau", "GET", "/permits")
    assert [(p["id"], "was changed" in p["fault"], p["occupied"]) for p in listed] == [
        (permit, True, True)
    ]
    assert crew.ask("bureau", "GET", f"/permits/{permit}").status_code >= 500
    made = crew.ask("zhao", "POST", "/permits", {"site": "north", "form": crew.form()})
    assert made.status_code == 201


def test_a_gateway_that_watches_alone_is_not_stopped_for_a_short_silence_of_the_line(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active("zhou")
    crew.gateway_keeps_all(permit)
    cloud.heard_ns = crew.now_ns
    crew.wait_min(9)  # neither its attendant nor itself is heard
    cloud.book.look()
    assert crew.state(permit) == "active"
    cloud.heard_ns = crew.now_ns
    cloud.permit_clock.shift_ns += int(5 * 60e9)  # nor its gas
    cloud.book.look()
    assert crew.state(permit) == "active"
    crew.air(h2s=9.0)  # what is heard counts at once
    cloud.book.look()
    assert crew.state(permit) == "suspended"


def test_a_gateway_that_stays_silent_is_not_believed_for_ever(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active("zhou")
    crew.gateway_keeps_all(permit)
    cloud.heard_ns = crew.now_ns
    crew.wait_min(11)
    cloud.book.look()
    assert crew.must("bureau", "GET", f"/permits/{permit}")["permit"]["cause"] == "attendant"


def test_a_permit_whose_gateway_can_be_told_nothing_says_so_and_is_closed_all_the_same(
    cloud: RunningCloud, crew: Crew
) -> None:
    cloud.can_tell = False
    permit = crew.active()
    at = f"/permits/{permit}"
    assert crew.must("zhao", "GET", at)["watched"] is False
    crew.must("zhao", "POST", f"{at}/finish", {})
    crew.must("li", "POST", f"{at}/tools", {"way": "out", "count": 5})
    crew.must("zhao", "POST", f"{at}/hand-back", {})
    cloud.can_tell = True
    assert crew.must("zhao", "GET", at)["watched"] is True
    assert crew.why("li", "POST", f"{at}/close", {})["reason"] == "gateway-behind"
    cloud.can_tell = False
    crew.must("li", "POST", f"{at}/close", {})
    crew.must("qian", "POST", f"{at}/close", {})
    assert crew.state(permit) == "closed"


def test_nobody_begins_work_on_a_permit_that_its_gateway_does_not_keep(
    cloud: RunningCloud, crew: Crew
) -> None:
    cloud.can_tell = False  # whatever the crew's gateway would say
    permit = crew.approved()
    cloud.can_tell = True
    at = f"/permits/{permit}/activate"
    assert crew.why("li", "POST", at, {"place": "QR-7"})["reason"] == "gateway-behind"
    crew.gateway_says(permit, have=3)
    assert crew.why("li", "POST", at, {"place": "QR-7"})["reason"] == "gateway-behind"
    crew.gateway_keeps_all(permit)
    crew.must("li", "POST", at, {"place": "QR-7"})


def test_a_gateway_with_a_new_disk_is_told_everything_again(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    crew.gateway_keeps_all(permit)
    cloud.book.resend("gw-north")
    assert crew.told(permit).entries == ()
    crew.gateway_says(permit, have=0)
    assert list(crew.told(permit).entries) == journal(crew, permit)
    crew.must("li", "POST", f"/permits/{permit}/suspend", {})
    crew.must("li", "POST", f"/permits/{permit}/tools", {"way": "out", "count": 5})
    why = crew.why("zhao", "POST", f"/permits/{permit}/hand-back", {})
    assert why["reason"] == "headcount-unknown"  # what its old disk had may be missing
    crew.must("li", "POST", f"/permits/{permit}/roll-call", {"inside": []})
    crew.must("zhao", "POST", f"/permits/{permit}/hand-back", {})
    assert crew.why("li", "POST", f"/permits/{permit}/close", {})["reason"] == "gateway-behind"
