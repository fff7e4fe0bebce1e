"""A permit journal that takes nothing more: stopping and coming out count all the same, going in does not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from edge.options import OutboxOptions
from edge.outbox import Outbox
from edge.permits.conditions import Watch
from edge.permits.desk import PermitDesk, Surroundings
from edge.permits.grants import Unlocker
from edge.permits.journal import RESERVE_BYTES, PermitJournal
from edge.permits.options import SpaceConfig
from edge.permits.views import view
from tests.edge.permits.day import KEY, CloudSide
from tests.own_mounts import OWN_MOUNTS
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.columns import Layout, Row
from tocsin.contract.messages import Event
from tocsin.errors import OutboxFullError
from tocsin.permits.facts import Counted, Entered, Exited
from tocsin.permits.messages import UP, PermitDown, PermitUp
from tocsin.permits.names import Action, Role, State
from tocsin.permits.outcomes import Accepted
from tocsin.permits.requests import Request
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

if TYPE_CHECKING:
    from edge.locks.interface import Locks

AIR = Layout("gas-01", "gas", ("o2", "ex", "h2s", "co"), "ffff")
UNITS = ("%{vol}", "%{LEL}", "[ppm]", "[ppm]")


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    """Where the desk tells the cloud."""
    found = await Outbox.open(
        tmp_path / "outbox", site="plant", gateway="gw-1", clock=SystemClock(),
        options=OutboxOptions(),
    )  # fmt: skip
    yield found
    await found.aclose()


def desk_on(journal: PermitJournal, outbox: Outbox) -> PermitDesk:
    clock = SystemClock()
    watch = Watch(clock, lambda _: UNITS)
    around = Surroundings(
        "gw-1", "plant", clock, lambda: "ntp", lambda: KEY, outbox, lambda *told: None
    )
    spaces = {"well-7": SpaceConfig(id="well-7", gas=("gas-01",))}
    desk = PermitDesk(around, journal, watch, spaces, {}, watches_attendant=False)
    watch.stored(Row(AIR, clock.now_ns(), (20.9, 0.0, 1.0, 2.0)))
    return desk


async def fill(journal: PermitJournal, cloud: CloudSide) -> None:
    """Another permit takes every byte, the reserve too."""
    down = msgspec.json.decode(cloud.down(), type=PermitDown)
    await journal.keep(msgspec.structs.replace(down, permit="P2"), ())
    for size in (3000, 10):
        seq = 1000 * size
        while True:
            seq += 1
            entry = msgspec.structs.replace(down.entries[0], permit="P2", seq=seq, reason="x" * size)  # fmt: skip
            try:
                await journal.keep(None, [entry], urgent=True)
            except OutboxFullError:
                break


async def test_a_suspension_holds_without_the_disk_and_is_written_once_it_takes_again(
    tmp_path: Path, outbox: Outbox
) -> None:
    cloud = CloudSide().to_active("zhou", "wu")
    journal = await PermitJournal.open(tmp_path / "permits", RESERVE_BYTES + (96 << 10), 1)
    desk = desk_on(journal, outbox)
    await desk.take(cloud.down())
    watched = desk.find("P1")
    assert watched is not None
    await fill(journal, cloud)
    with pytest.raises(OutboxFullError):
        await desk.ask("P1", Request(Action.ENTER, "li", Role.ATTENDANT, said=Entered("zheng")))
    assert watched.permit.inside == {"zhou", "wu"}, "who was refused is not inside"
    stop = await desk.ask("P1", Request(Action.SUSPEND, "li", Role.ATTENDANT, "smell"))
    out = await desk.ask("P1", Request(Action.EXIT, "li", Role.ATTENDANT, said=Exited("zhou")))
    assert isinstance(stop, Accepted)
    assert isinstance(out, Accepted)
    assert (watched.permit.state, watched.permit.inside) == (State.SUSPENDED, frozenset({"wu"}))
    assert len(watched.owed) == 2
    assert watched.unmerged == [], "what is not on the disk is told to nobody"

    running = asyncio.create_task(desk.run())
    await journal.forget("P2")
    await wait_until(lambda: not watched.owed)

    async def told() -> bool:
        heard = [
            decode_body(decode_header(c.payload), c.payload, Event)
            for c in await outbox.pending("event")
        ]
        ups = [msgspec.convert(e.data, PermitUp) for e in heard if e.kind == UP]
        return (
            [e.action for e in ups[-1].entries] == [Action.SUSPEND, Action.EXIT] if ups else False
        )

    await wait_until(told)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    stored = next(s for s in await journal.load() if s.told.permit == "P1")
    own = [e.action for e in stored.entries if e.source == "gateway:gw-1"]
    assert own == [Action.SUSPEND, Action.EXIT]
    await desk.aclose()


async def test_a_gateway_whose_journal_was_lost_still_stops_the_work(
    tmp_path: Path, outbox: Outbox
) -> None:
    cloud = CloudSide().to_active("zhou")
    journal = await PermitJournal.open(tmp_path / "permits", 1 << 20, 1)
    desk = desk_on(journal, outbox)
    await desk.take(cloud.down(have=7))  # the cloud keeps seven entries of ours
    watched = desk.find("P1")
    assert watched is not None
    assert watched.lost
    assert desk.counters["down_refused"] == 1, "it is told"
    row = Row(AIR, SystemClock().now_ns(), (20.9, 0.0, 90.0, 2.0))
    desk.watch.stored(row)
    await desk.take(cloud.down(have=7))
    assert watched.permit.state is State.SUSPENDED
    await desk.aclose()


async def test_where_entries_were_lost_nobody_knows_who_is_inside_until_they_are_counted(
    tmp_path: Path, outbox: Outbox
) -> None:
    cloud, nothing = CloudSide().to_active("zhou"), cast("Locks", None)
    cloud.space = msgspec.structs.replace(cloud.space, locks=("hatch-1",))
    for _ in range(2):  # and after a start
        journal = await PermitJournal.open(tmp_path / "permits", 1 << 20, 1)
        desk = desk_on(journal, outbox)
        await desk.restore()
        await desk.take(cloud.down(have=2))
        unlocker = Unlocker(desk, nothing, b"g" * 32, SystemClock())
        watched = desk.permits()[0]
        if watched.permit.inside:
            await desk.ask("P1", Request(Action.EXIT, "li", Role.ATTENDANT, said=Exited("zhou")))
        assert not watched.permit.occupied, "as far as this gateway can tell"
        assert "Nobody knows how many" in unlocker.why_not_relock("hatch-1")
        assert not view(desk, watched).headcount_known
        await desk.aclose()
    journal = await PermitJournal.open(tmp_path / "permits", 1 << 20, 1)
    desk = desk_on(journal, outbox)
    await desk.restore()
    unlocker = Unlocker(desk, nothing, b"g" * 32, SystemClock())
    count = Request(Action.COUNT_PEOPLE, "li", Role.ATTENDANT, said=Counted(()))
    assert isinstance(await desk.ask("P1", count), Accepted)
    assert unlocker.why_not_relock("hatch-1") == ""
    await desk.aclose()


async def test_a_full_journal_in_the_last_minutes_of_a_permit_ends_no_watch_over_it(
    tmp_path: Path, outbox: Outbox
) -> None:
    cloud = CloudSide(hours=0.15).to_active("zhou")  # nine minutes are left
    journal = await PermitJournal.open(tmp_path / "permits", RESERVE_BYTES + (96 << 10), 1)
    down = msgspec.json.decode(cloud.down(), type=PermitDown)
    await journal.keep(down, down.entries)
    await fill(journal, cloud)
    desk = desk_on(journal, outbox)
    await desk.restore()
    watched = desk.find("P1")
    assert watched is not None
    running = asyncio.create_task(desk.run())
    await wait_until(lambda: running.done() or watched.permit.warned)
    assert watched.permit.warned == {"10"}
    desk.watch.stored(Row(AIR, SystemClock().now_ns(), (20.9, 0.0, 90.0, 2.0)))
    await wait_until(lambda: running.done() or watched.permit.state is State.SUSPENDED)
    assert not running.done(), "it goes on watching"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await desk.aclose()


ON_A_FULL_DISK = """
import asyncio, os, subprocess, sys
from pathlib import Path

from edge.permits.journal import PermitJournal
from tests.edge.permits.day import CloudSide
from tests.edge.permits.test_disk_refuses import desk_on
from tests.edge.permits.test_permit_desk import Nowhere
from tocsin.permits.facts import Exited
from tocsin.permits.names import Action, Role, State
from tocsin.permits.requests import Request

place, at_work, ended = Path(sys.argv[1]), CloudSide().to_active("zhou", "wu"), CloudSide()
ended.to_rejected()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=True)

async def desk_in(folder):
    desk = desk_on(await PermitJournal.open(place / folder, 1 << 20, 1), Nowhere())
    await desk.restore()
    return desk

async def cut_short():
    await (await desk_in("at-work")).take(at_work.down())
    os._exit(0)

async def until(desk, holds):
    running = asyncio.create_task(desk.run())
    while not holds():
        await asyncio.sleep(0.01)
        if running.done():
            await running
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

async def over():
    desk = await desk_in("ended")
    await desk.take(ended.down())
    with (place / "others").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
    await until(desk, lambda: "disk" in desk._said)
    print("forgotten on a full disk:", not desk.permits())
    (again,) = (await desk_in("at-work")).permits()
    print("after a start:", again.permit.state, sorted(again.permit.inside))
    (place / "others").unlink()
    await until(desk, lambda: not desk.permits())

if os.fork() == 0:
    asyncio.run(cut_short())
os.wait()
asyncio.run(over())
"""


def test_a_gateway_that_starts_on_a_full_disk_watches_what_it_kept(tmp_path: Path) -> None:
    done = subprocess.run(
        [*OWN_MOUNTS, sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "forgotten on a full disk: False",
        "after a start: active ['wu', 'zhou']",
    ], done.stderr
    assert done.returncode == 0, done.stderr
