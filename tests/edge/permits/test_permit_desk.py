"""Decisions of the desk itself: cut short by whoever asked, and what counts as no sign of the attendant."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.lan.desk import Asked
from edge.locks.desk import LockDesk
from edge.locks.interface import LockNews, LockState
from edge.permits.conditions import Watch
from edge.permits.desk import PermitDesk, Surroundings
from edge.permits.grace import Grace
from edge.permits.grants import Unlocker
from edge.permits.journal import PermitJournal
from edge.permits.options import SpaceConfig
from edge.permits.page_desk import PageDesk
from tests.edge.permits.day import KEY, SOURCE, CloudSide
from tests.edge.permits.test_kept_grants import claims_of
from tocsin.contract.columns import Layout, Row
from tocsin.grants.claims import Op, holder_id
from tocsin.grants.lock_log import LockEventKind
from tocsin.permits import facts
from tocsin.permits.intervals import NS
from tocsin.permits.live import breaches
from tocsin.permits.messages import Person
from tocsin.permits.names import Action, Cause, Role, State
from tocsin.permits.outcomes import Accepted, Refused
from tocsin.permits.requests import Request


class LaterClock:
    """The machine's clock, which can be put ahead."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return time.time_ns() + self.ahead_ns

    def mono_ns(self) -> int:
        return time.monotonic_ns() + self.ahead_ns

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Nowhere:
    """An outbox that takes everything."""

    async def put_event(self, *_: Any, **__: Any) -> None:
        return None


class Bench:
    """A desk with one permit at work on a real journal file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, LaterClock()
        self.watch = Watch(self.clock, lambda _: ())
        self.cloud = CloudSide().to_active("zhou")

    async def desk(self, *, has_page: bool = False) -> PermitDesk:
        journal = await PermitJournal.open(self.folder, 32 << 20, self.clock.now_ns())
        outbox: Any = Nowhere()
        around = Surroundings(
            "gw-1", "plant", self.clock, lambda: "ntp", lambda: KEY, outbox, lambda *_: None
        )
        spaces = {"well-7": SpaceConfig(id="well-7", gas=("gas-01",), locks=("hatch-1",))}
        desk = PermitDesk(around, journal, self.watch, spaces, {}, watches_attendant=has_page)
        await desk.restore()
        return desk

    def silent(self, desk: PermitDesk) -> bool:
        """Whether the attendant counts as gone."""
        (watched,) = desk.permits()
        found = breaches(watched.permit, desk.context(watched), desk.now_ns())
        return Cause.ATTENDANT in {b.cause for b in found}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def counted(n: int) -> Request:
    return Request(Action.COUNT_TOOLS, "li", Role.ATTENDANT, said=facts.ToolsCounted("out", n))


RESCUER = b"r" * 32  # a phone's public key
EXIT = Request(Action.EXIT, "li", Role.ATTENDANT, said=facts.Exited("zhou"))


async def test_a_request_that_is_cut_short_is_whole_or_not_there(bench: Bench) -> None:
    for turns in range(8):
        desk = await bench.desk()
        await desk.take(bench.cloud.down())
        asked = asyncio.create_task(desk.ask("P1", counted(turns)))
        for _ in range(turns):
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert isinstance(await desk.ask("P1", counted(50 + turns)), Accepted)
        assert not desk.permits()[0].owed
        await desk.aclose()
    desk = await bench.desk()
    assert isinstance(await desk.ask("P1", EXIT), Accepted)
    await desk.aclose()
    desk = await bench.desk()
    assert desk.permits()[0].permit.inside == frozenset()
    await desk.aclose()


async def test_a_link_that_drops_is_no_silence_of_the_attendant_at_once(bench: Bench) -> None:
    desk = await bench.desk()
    await desk.take(bench.cloud.down())
    bench.watch.cloud_ok = lambda: True
    bench.clock.ahead_ns += 600 * NS
    assert not bench.silent(desk)
    bench.watch.cloud_ok = lambda: False
    assert not bench.silent(desk)
    bench.clock.ahead_ns += 61 * NS
    assert bench.silent(desk)
    await desk.aclose()


async def test_starting_again_and_again_does_not_put_off_a_silence_for_ever(bench: Bench) -> None:
    bench.folder.mkdir(exist_ok=True)
    silences = []
    for _ in range(4):
        grace = Grace(bench.folder, bench.clock)
        bench.watch = Watch(bench.clock, lambda _: (), grace.used_s)
        desk = await bench.desk(has_page=True)
        if not desk.permits():
            await desk.take(bench.cloud.down())
        silences.append(bench.silent(desk))
        bench.clock.ahead_ns += 25 * NS
        await desk.aclose()
    assert silences == [False, False, False, True]
    desk = await bench.desk(has_page=True)
    desk.settled = grace.over
    await desk._round()
    assert desk.permits()[0].permit.state is State.SUSPENDED
    assert Grace(bench.folder, bench.clock).used_s == 0.0, "the next start has its time anew"
    await desk.aclose()


async def test_a_permit_that_comes_to_an_old_gateway_gives_its_attendant_time(bench: Bench) -> None:
    bench.watch._began_ns -= 600 * NS  # it has been up for long
    desk = await bench.desk(has_page=True)
    await desk.take(bench.cloud.down())
    assert not bench.silent(desk)
    bench.clock.ahead_ns += 61 * NS
    assert bench.silent(desk)
    bench.watch.sign("P1")
    assert not bench.silent(desk)
    await desk.aclose()


def page_of(desk: PermitDesk) -> PageDesk:
    """Its page, at a gateway whose locks are not there."""
    nothing: Any = None
    return PageDesk(desk, LockDesk(nothing, nothing, lambda: (), nothing))


def lock_said(kind: int) -> LockNews:
    """A lock that is locked tells of an event."""
    return LockNews("hatch-1", LockState("hatch-1", available=True, bolt_out=True), kind)


async def test_a_flood_of_refusals_at_a_lock_fills_no_journal(bench: Bench) -> None:
    desk = await bench.desk()
    await desk.take(bench.cloud.down())
    of_newer_firmware = 99
    for kind in (*[LockEventKind.DENY] * 2000, LockEventKind.BATTERY, of_newer_firmware):
        desk.lock_news(lock_said(kind))
    desk.lock_news(lock_said(LockEventKind.JAMMED))
    desk.lock_news(lock_said(LockEventKind.RELOCK))
    await desk._round()
    own = [e.fact for e in desk.permits()[0].entries if e.source == SOURCE]
    assert [f.event for f in own if isinstance(f, facts.LockTold)] == ["jammed", "relock"]
    assert desk.counters["lock_events_passed_over"] == 2002
    await desk.aclose()


async def test_a_permit_back_in_preparation_hears_that_its_lock_is_locked_and_is_shown(
    bench: Bench,
) -> None:
    cloud = CloudSide().to_active()
    cloud.note(facts.LockTold("hatch-1", "unlock"), Action.LOCK)
    cloud.site.must(Action.SUSPEND, "qian")
    cloud.site.must(Action.BACK_TO_PREPARED, "qian")
    desk = await bench.desk()
    await desk.take(cloud.down())
    (watched,) = desk.permits()
    assert (watched.permit.state, watched.permit.lock_events) == (
        State.PREPARED,
        {"hatch-1": "unlock"},
    )
    desk.lock_news(lock_said(LockEventKind.RELOCK))
    await desk._round()
    assert watched.permit.lock_events == {"hatch-1": "relock"}
    assert [p.state for p in page_of(desk).permits("li", None)] == ["prepared"]
    await desk.aclose()


def with_roles(people: tuple[Person, ...], account: str, *roles: str) -> tuple[Person, ...]:
    """One of them holds these roles."""
    return tuple(
        msgspec.structs.replace(p, roles=roles) if p.account == account else p for p in people
    )


async def test_whoever_holds_two_roles_acts_in_the_one_in_which_they_may(bench: Bench) -> None:
    bench.watch = Watch(bench.clock, lambda _: ("%{vol}", "%{LEL}", "[ppm]", "[ppm]"))
    air = Layout("gas-01", "gas", ("o2", "ex", "h2s", "co"), "ffff")
    desk = await bench.desk()
    page = page_of(desk)
    people = with_roles(bench.cloud.people, "wu", "attendant", "entrant")
    people = with_roles(people, "wang", "attendant", "rescue")
    people = with_roles(people, "zhao", "approver", "rescue")
    await desk.take(bench.cloud.down(people=people))
    bench.watch.stored(Row(air, bench.clock.now_ns(), (20.9, 0.0, 1.0, 2.0)))
    (watched,) = desk.permits()

    async def tap(account: str, action: str, **said: str) -> bool:
        return (await page.ask(account, Asked("P1", action, said))).done

    assert not await tap("wu", "enter", person="zheng"), "the attendant of another permit"
    assert await tap("wu", "enter", person="wu"), "an entrant, for himself"
    assert await tap("li", "emergency")
    assert not await tap("li", "enter", person="zheng")
    assert await tap("wang", "enter", person="wang"), "a rescuer"
    assert watched.permit.inside == {"zhou", "wu", "wang"}
    assert await tap("zhao", "end-rescue"), "the applicant approves nothing of his own; he rescues"
    assert watched.permit.rescue_ended
    await desk.aclose()


async def test_the_page_shows_the_grant_by_which_this_phone_opens_and_nobody_elses(
    bench: Bench,
) -> None:
    now_ns, cloud = time.time_ns(), bench.cloud
    for cti, holder, account, minutes, rescue in (
        ("01", "aa", "li", 10, False),
        ("02", "bb", "li", 15, False),
        ("03", "cc", "xu", 20, False),
        ("04", "aa", "li", 24 * 60, True),
        ("05", "aa", "li", 25, False),  # void
    ):
        until_ns = now_ns + minutes * 60 * NS
        noted = facts.GrantNoted(cti, "hatch-1", holder, until_ns, rescue, account)
        cloud.note(noted, Action.GRANT)
    desk = await bench.desk()
    page = page_of(desk)
    await desk.take(cloud.down(denied=("05",)))

    def left_min(account: str, holder: str | None) -> int | None:
        ((lock,),) = (view.locks for view in page.permits(account, holder))
        return lock.grant_until_ns and (lock.grant_until_ns - now_ns) // (60 * NS)

    assert [left_min("li", h) for h in ("aa", "bb", None, "", "cc")] == [10, 15, 15, None, None]
    assert left_min("qian", None) is None
    bench.clock.ahead_ns += 11 * 60 * NS
    assert left_min("li", "aa") is None, "it has ended, and no rescue grant stands in for it"
    assert left_min("li", "bb") == 15
    assert isinstance(await desk.ask("P1", Request(Action.SUSPEND, "li", Role.ATTENDANT)), Accepted)
    assert left_min("li", "bb") is None, "nothing opens while work is stopped"
    await desk.aclose()


async def test_in_an_emergency_nobody_opens_alone_not_even_a_rescuer_who_is_the_attendant(
    bench: Bench,
) -> None:
    nothing: Any = None
    ordinary = msgspec.structs.replace(claims_of("P1"), sub=holder_id(RESCUER))
    until_ns, holder = time.time_ns() + 600 * NS, holder_id(RESCUER).hex()
    for cti, rescue in ((ordinary.cti.hex(), False), ("04", True)):
        noted = facts.GrantNoted(cti, "hatch-1", holder, until_ns, rescue, "li")
        bench.cloud.note(noted, Action.GRANT)
    desk = await bench.desk()
    await desk.take(bench.cloud.down())
    unlocker = Unlocker(desk, nothing, b"g" * 32, bench.clock)
    request = Request(Action.EMERGENCY, "li", Role.ATTENDANT, "zhou fell")
    assert isinstance(await desk.ask("P1", request), Accepted)
    assert "an emergency" in unlocker.why_not("hatch-1", ordinary)
    assert unlocker.why_not("hatch-1", msgspec.structs.replace(ordinary, ops=Op.RESCUE)) == ""
    watched = desk.permits()[0]
    told = await unlocker.challenge(watched, "hatch-1", RESCUER, "li")
    assert isinstance(told, Refused), "no lock is even asked"
    await desk.aclose()
