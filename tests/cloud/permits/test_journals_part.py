"""A gateway that lost its journal, or a cloud that lost entries: nobody is forgotten inside, and the permit can be closed in the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from cloud.permits.tables import permit_entries, permits
from tests.cloud.permits.crew import Crew
from tests.cloud.permits.line import Line, at_work
from tocsin.permits import facts
from tocsin.permits.journal import Entry, gateway_source, read_entry
from tocsin.permits.names import Action, Role, TimeQuality
from tocsin.permits.outcomes import Accepted
from tocsin.permits.requests import Request
from tocsin.permits.writing import written

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud

GATEWAY = gateway_source("gw-north")
OUT = {"way": "out", "count": 5}


def journal(cloud: RunningCloud, permit: str) -> list[Entry]:
    with cloud.engine.connect() as c:
        mine = permit_entries.c.permit == permit
        return [read_entry(b) for (b,) in c.execute(select(permit_entries.c.body).where(mine))]


def numbers(entries: list[Entry]) -> set[tuple[str, int]]:
    return {(e.source, e.seq) for e in entries}


async def enter(line: Line, permit: str, *people: str) -> None:
    for person in people:
        request = Request(Action.ENTER, "li", Role.ATTENDANT, said=facts.Entered(person))
        assert isinstance(await line.desk.ask(permit, request), Accepted)


def told(line: Line, permit: str) -> Any:
    return line.crew.must("bureau", "GET", f"/permits/{permit}")


def settle(crew: Crew, permit: str) -> None:
    """Everything that is left to do before the end."""
    at = f"/permits/{permit}"
    crew.must("li", "POST", f"{at}/tools", OUT)
    crew.must("zhao", "POST", f"{at}/hand-back", {})


def close(crew: Crew, permit: str) -> None:
    crew.must("li", "POST", f"/permits/{permit}/close", {})


async def test_whoever_went_in_before_a_gateway_lost_its_journal_is_not_forgotten(
    line: Line,
) -> None:
    permit = await at_work(line, has_page=True)
    at, crew = f"/permits/{permit}", line.crew
    line.up = False
    await enter(line, permit, "zhou")
    await line.disk_lost()
    await line.steps(15)
    row = await asyncio.to_thread(told, line, permit)
    assert (row["state"], row["occupied"]) == ("suspended", True)
    assert not row["permit"]["headcount_known"]
    assert line.state() == ("suspended", "headcount")

    def settled() -> None:
        assert crew.why("zhao", "POST", f"{at}/hand-back", {})["reason"] == "headcount-unknown"
        crew.must("li", "POST", f"{at}/roll-call", {"inside": []})
        settle(crew, permit)

    await asyncio.to_thread(settled)
    await line.steps(10)
    await asyncio.to_thread(close, crew, permit)
    await line.steps(10)
    await asyncio.to_thread(crew.must, "qian", "POST", f"{at}/close", {})
    assert (await asyncio.to_thread(told, line, permit))["state"] == "closed"


async def test_a_gateway_gets_its_lost_entries_back_and_goes_on_where_it_stood(
    line: Line, cloud: RunningCloud
) -> None:
    permit = await at_work(line, has_page=True)
    at = f"/permits/{permit}"
    await enter(line, permit, "zhou", "wu")
    await line.steps(5)
    await asyncio.to_thread(line.crew.must, "li", "POST", f"{at}/enter", {"person": "zheng"})
    await line.steps(5)  # the cloud has written what the gateway must have seen to follow
    await line.disk_lost()
    await line.steps(10)
    (watched,) = line.desk.permits()
    assert watched.permit.inside == {"zhou", "wu", "zheng"}
    assert not watched.lost
    assert numbers(watched.entries) == numbers(journal(cloud, permit))
    out = Request(Action.EXIT, "li", Role.ATTENDANT, said=facts.Exited("wu"))
    assert isinstance(await line.desk.ask(permit, out), Accepted)
    await line.steps(5)
    row = await asyncio.to_thread(told, line, permit)
    assert row["permit"]["inside"] == ["zheng", "zhou"]
    assert not row["permit"]["parted"]
    assert (row["state"], row["permit"]["headcount_known"]) == ("suspended", False)


async def test_a_long_journal_comes_back_before_the_gateway_goes_on_by_itself(
    line: Line, cloud: RunningCloud
) -> None:
    permit = await at_work(line, has_page=True)
    for _ in range(120):
        for action, fact in (
            (Action.ENTER, facts.Entered("zhou")),
            (Action.EXIT, facts.Exited("zhou")),
        ):
            await line.desk.ask(permit, Request(action, "li", Role.ATTENDANT, said=fact))
    await line.steps(10)
    assert len(journal(cloud, permit)) > 240
    await line.disk_lost()
    await line.steps(15)
    (watched,) = line.desk.permits()
    assert numbers(watched.entries) == numbers(journal(cloud, permit))
    assert not (await asyncio.to_thread(told, line, permit))["permit"]["parted"]


async def test_a_gateway_without_a_siren_says_so_on_the_permits_page(
    line: Line, cloud: RunningCloud
) -> None:
    permit = await at_work(line, has_page=False)
    row = await asyncio.to_thread(told, line, permit)
    assert row["permit"]["silent"]
    notes = [e.fact for e in journal(cloud, permit) if isinstance(e.fact, facts.Noted)]
    assert [n.what for n in notes] == ["no-siren"]
    assert ("permit.no-siren", 1) in line.events.items()
    crew = line.crew
    headers = {"Cookie": crew.headers["li"]["Cookie"], "Accept-Language": "en"}
    page = await asyncio.to_thread(crew.http.get, f"/permits/{permit}", headers=headers)
    assert "no siren for this space" in page.text


def test_a_permit_is_not_closed_while_its_gateways_entries_are_rejected(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    at = f"/permits/{permit}"
    crew.must("zhao", "POST", f"{at}/finish", {})
    before = journal(cloud, permit)

    def another(person: str) -> Entry:
        came = facts.Entered(person)
        request = Request(Action.ENTER, "li", Role.ATTENDANT, said=came)
        (entry,) = written(
            permit, before, GATEWAY, request, [came], crew.now_ns, TimeQuality.SYNCED,
            before[0].rules,
        )  # fmt: skip
        return entry

    crew.gateway_says(permit, another("zhou"), have=len(before))
    crew.must("li", "POST", f"{at}/exit", {"person": "zhou"})

    def says() -> None:
        """As a version that does not say how it stands."""
        crew.gateway_says(permit, another("wu"), have=len(journal(cloud, permit)) - 1)

    says()
    row = crew.must("bureau", "GET", at)
    assert (row["occupied"], row["permit"]["parted"]) == (True, True)
    assert row["permit"]["headcount_known"] is False
    cloud.book.look()
    assert crew.must("bureau", "GET", at)["permit"]["cause"] == "headcount"
    crew.must("li", "POST", f"{at}/roll-call", {"inside": []})
    settle(crew, permit)
    says()
    assert crew.why("li", "POST", f"{at}/close", {})["reason"] == "gateway-behind"
    notes = [e for e in journal(cloud, permit) if isinstance(e.fact, facts.Noted)]
    assert [n.fact.what for n in notes if isinstance(n.fact, facts.Noted)] == ["gateway-parted"]


def test_a_gateway_that_goes_on_telling_what_does_not_follow_is_not_answered_for_ever(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    cloud.heard_ns = crew.now_ns
    lost = {"head": "0" * 64, "own": 0}
    have = len(journal(cloud, permit))
    for _ in range(3):
        crew.gateway_says(permit, have=have, **lost)
    cloud.book.look()
    sent = len(cloud.told)
    for _ in range(8):
        cloud.permit_clock.shift_ns += 5 * 10**9
        cloud.heard_ns = crew.now_ns
        crew.gateway_says(permit, have=have, **lost)
        cloud.book.look()
    assert len(cloud.told) <= sent + 2


async def test_a_cloud_that_lost_entries_counts_nobody_out_until_the_gateway_begins_anew(
    line: Line, cloud: RunningCloud
) -> None:
    permit = await at_work(line, has_page=True)
    at, crew = f"/permits/{permit}", line.crew
    await line.steps(5)
    with cloud.engine.connect() as c:
        backup = c.execute(select(permits).where(permits.c.id == permit)).mappings().one()
    kept = numbers(journal(cloud, permit))
    await enter(line, permit, "zhou")
    await line.steps(5)
    await asyncio.to_thread(crew.must, "li", "POST", f"{at}/enter", {"person": "wu"})
    await line.steps(5)
    gone = numbers(journal(cloud, permit)) - kept
    with cloud.engine.begin() as c:
        e = permit_entries.c
        for source, seq in gone:
            which = (e.permit == permit, e.source == source, e.seq == seq)
            c.execute(delete(permit_entries).where(*which))
        c.execute(update(permits).where(permits.c.id == permit).values(**backup))
    assert (await asyncio.to_thread(told, line, permit))["occupied"] is False
    await asyncio.to_thread(cloud.book.resend, "gw-north")
    await line.steps(15)
    row = await asyncio.to_thread(told, line, permit)
    assert (row["state"], row["occupied"], row["permit"]["parted"]) == ("suspended", True, True)

    def settled() -> None:
        crew.must("li", "POST", f"{at}/roll-call", {"inside": []})
        settle(crew, permit)

    await asyncio.to_thread(settled)
    await line.steps(30)
    why = await asyncio.to_thread(crew.why, "li", "POST", f"{at}/close", {})
    assert why["reason"] == "gateway-behind"
    await line.disk_lost()
    await line.steps(30)
    row = await asyncio.to_thread(told, line, permit)
    assert (row["permit"]["parted"], row["occupied"]) == (False, True)
    await asyncio.to_thread(settled)
    await line.steps(10)
    await asyncio.to_thread(close, crew, permit)
