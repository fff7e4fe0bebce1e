"""The permit journal on disk: killed at every step, damaged, full; and ages that no clock can change."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.permits.conditions import Watch
from edge.permits.journal import FILE, RESERVE_BYTES, PermitJournal
from edge.permits.options import SpaceConfig
from edge.permits.siren import must_sound
from edge.permits.watched import Watched
from tests.dying import Step, dies_at
from tests.edge.permits.day import CloudSide
from tests.permits.site import Site
from tocsin.contract.columns import Layout, Row
from tocsin.errors import OutboxFullError
from tocsin.permits.facts import Counted, Entered, Exited
from tocsin.permits.intervals import NS
from tocsin.permits.journal import Entry, entry_bytes
from tocsin.permits.messages import PermitDown
from tocsin.permits.names import Action, Cause, State

MIB = 1 << 20


def told() -> PermitDown:
    return msgspec.json.decode(CloudSide().to_active("zhou").down(), type=PermitDown)


def keep_one_by_one(folder: Path, raw: bytes, step: Step) -> None:
    """What the desk does: the permit first, then entry after entry, each told as kept once it is."""
    down = msgspec.json.decode(raw, type=PermitDown)

    class Stepping(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            word = sql.split(" ")[0].lower()
            step(f"before-{word}")
            found = super().execute(sql, *args)
            step(f"after-{word}")
            return found

    original = sqlite3.connect
    sqlite3.connect = lambda *a, **k: original(*a, factory=Stepping, **k)  # type: ignore[assignment]

    async def work() -> None:
        journal = await PermitJournal.open(folder, MIB, 1)
        await journal.keep(down, ())
        for entry in down.entries:
            await journal.keep(None, [entry])
            with (folder / "said").open("a") as out:
                out.write(f"{entry.seq}\n")
                out.flush()
                os.fsync(out.fileno())
            if entry.seq == 3:
                step("third-kept")

    asyncio.run(work())


@pytest.mark.parametrize(
    "point",
    ["before-begin", "after-begin", "before-insert", "after-insert", "before-pragma", "third-kept"],
)
async def test_what_was_told_as_kept_is_there_after_a_kill_at_any_step(
    tmp_path: Path, point: str
) -> None:
    down = told()
    assert dies_at(point, keep_one_by_one, tmp_path, msgspec.json.encode(down))
    said = tmp_path / "said"
    promised = [int(n) for n in said.read_text("ascii").split()] if said.exists() else []
    journal = await PermitJournal.open(tmp_path, MIB, 2)
    stored = await journal.load()
    kept = sorted(stored[0].entries, key=lambda e: e.seq) if stored else []
    assert [e.seq for e in kept][: len(promised)] == promised
    assert kept == list(down.entries[: len(kept)]), "no entry is torn, none is missing between"
    await journal.keep(down, down.entries[len(kept) :])
    (whole,) = await journal.load()
    assert len(whole.entries) == len(down.entries)
    await journal.aclose()


async def test_a_damaged_file_is_set_aside_and_a_new_one_takes_entries(tmp_path: Path) -> None:
    down = told()
    journal = await PermitJournal.open(tmp_path, MIB, 1)
    await journal.keep(down, down.entries)
    await journal.aclose()
    data = bytearray((tmp_path / FILE).read_bytes())
    data[100:4096] = bytes(3996)
    (tmp_path / FILE).write_bytes(bytes(data))
    journal = await PermitJournal.open(tmp_path, MIB, 7)
    assert await journal.load() == []
    assert (tmp_path / f"{FILE}.damaged-7").exists()
    await journal.keep(down, down.entries)
    await journal.aclose()


async def test_an_entry_that_was_changed_on_the_disk_takes_its_permit_out_and_no_other(
    tmp_path: Path,
) -> None:
    down = told()
    journal = await PermitJournal.open(tmp_path, MIB, 1)
    await journal.keep(down, down.entries)
    other = [msgspec.structs.replace(e, permit="P2") for e in down.entries]
    await journal.keep(msgspec.structs.replace(down, permit="P2"), other)
    await journal.aclose()
    db = sqlite3.connect(tmp_path / FILE)
    body = entry_bytes(msgspec.structs.replace(down.entries[2], reason="changed"))
    db.execute("UPDATE entry SET body = ? WHERE permit = 'P1' AND seq = 3", (body,))
    db.commit()
    db.close()
    journal = await PermitJournal.open(tmp_path, MIB, 2)
    assert [s.told.permit for s in await journal.load()] == ["P2"]
    await journal.aclose()


async def test_a_full_journal_takes_only_what_makes_people_safer_until_its_reserve_ends(
    tmp_path: Path,
) -> None:
    down = told()
    journal = await PermitJournal.open(tmp_path, RESERVE_BYTES + (64 << 10), 1)
    await journal.keep(down, ())
    template = down.entries[-1]

    async def fill(first: int, *, urgent: bool) -> int:
        seq = first
        while True:
            entry: Entry = msgspec.structs.replace(template, seq=seq, reason="x" * 2000)
            try:
                await journal.keep(None, [entry], urgent=urgent)
            except OutboxFullError:
                return seq
            seq += 1

    ordinary = await fill(1, urgent=False)
    urgent = await fill(ordinary, urgent=True)
    assert urgent - ordinary > 20
    (stored,) = await journal.load()
    assert len(stored.entries) == urgent - 1
    await journal.forget("P1")
    await journal.keep(down, down.entries)
    await journal.aclose()


class HandClock:
    """Both clocks move only when told."""

    def __init__(self) -> None:
        self.wall_ns, self.at_ns = 10**18, 10**12

    def now_ns(self) -> int:
        return self.wall_ns

    def mono_ns(self) -> int:
        return self.at_ns

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def test_a_clock_that_jumps_makes_no_value_old_or_young() -> None:
    clock, space = HandClock(), SpaceConfig(id="well-7", gas=("gas-01",))
    watch = Watch(clock, lambda _: ("[ppm]",))
    layout = Layout("gas-01", "gas", ("h2s",), "f")
    watch.stored(Row(layout, clock.wall_ns - 2 * 10**9, (1.5,)))
    watch.sign("P1")
    for jump_s in (-86_400 * 365, 0, 86_400 * 365 * 10):
        now_ns = clock.wall_ns + jump_s * 10**9
        told = watch.conditions("P1", space, now_ns, since_ns=0, watches_attendant=True)
        assert now_ns - told.readings[0].at_ns == 2 * 10**9
        assert told.attendant_ns == now_ns
    clock.at_ns += 61 * 10**9
    told = watch.conditions("P1", space, clock.wall_ns, since_ns=0, watches_attendant=True)
    assert clock.wall_ns - told.readings[0].at_ns == 63 * 10**9, "time that passed counts"
    assert clock.wall_ns - told.attendant_ns == 61 * 10**9


def test_the_siren_sounds_while_anyone_may_be_inside_and_then_until_all_came_out() -> None:
    assert not must_sound(Site().to_active("zhou").permit, None)
    site = Site().to_suspended("zhou")
    since_ns = site.permit.suspended_ns
    assert must_sound(site.permit, None)
    assert must_sound(site.permit, since_ns), "nobody silences it over somebody's head"
    site.must(Action.EXIT, "li", Exited("zhou"))
    assert not must_sound(site.permit, None)
    empty = Site().to_suspended()
    assert must_sound(empty.permit, None)
    assert not must_sound(empty.permit, empty.permit.suspended_ns)


def test_a_call_for_help_sounds_the_siren_anew_until_a_roll_call_or_all_came_out() -> None:
    site = Site().to_suspended("zhou")
    site.must(Action.EXIT, "li", Exited("zhou"))
    down = told()

    def sounds() -> bool:
        watched = Watched(down, site.entries, "gateway:gw-1")
        return must_sound(watched.seen, None, watched.called_ns)

    assert not sounds()
    for stopped in (State.SUSPENDED, State.EMERGENCY):
        site.now_ns += 60 * NS
        site.must(Action.SOS, "zhou")
        assert (sounds(), site.state(), site.permit.cause) == (True, stopped, Cause.SOS)
        assert site.permit.incident
        site.now_ns += 60 * NS
        site.must(Action.COUNT_PEOPLE, "li", Counted(()))
        assert not sounds()
        if stopped is State.SUSPENDED:
            site.must(Action.EMERGENCY, "zhou")
    site.must(Action.END_RESCUE, "wang")
    site.must(Action.SOS, "zhou")
    assert not site.permit.rescue_ended
    site.must(Action.ENTER, "wang", Entered("wang"))
    site.must(Action.SOS, "zhou")
    site.now_ns += 60 * NS
    site.must(Action.EXIT, "wang", Exited("wang"))
    assert not sounds()
