"""A file damaged in every way that could be thought of: the outbox opens, sends only what is intact, and does so once."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from edge.outbox import Chunk, database
from edge.outbox.stand_in import note_of
from tests.edge.outbox.test_outbox import ack, alarm, everything, opened, rows, values
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.gaps import SALVAGED, gaps_of
from tocsin.contract.messages import Event
from tocsin.contract.ranges import RangeSet
from tocsin.errors import OutboxCorruptError

PAGE = 4096
POWER_CUT = "outbox.power-cut"
CLASSES = (topics.TELEMETRY, topics.ALARM, topics.EVENT)
Chunks = dict[tuple[str, int], bytes]


class Made:
    """An outbox as a kill leaves it (log beside the file) and as a stop leaves it, and what is in it."""

    def __init__(self, killed: Path, closed: Path, pending: list[Chunk]) -> None:
        self.killed, self.closed = killed, closed
        self.pending: Chunks = {(c.stream, c.first_seq): c.payload for c in pending}
        self.telemetry = next(c.stream for c in pending if c.cls == topics.TELEMETRY)


@pytest.fixture
async def made(tmp_path: Path) -> Made:
    live, killed = tmp_path / "live", tmp_path / "killed"
    async with opened(
        live, power_on="first", commit_rows=30, keep_committed_bytes=1 << 20
    ) as outbox:
        for start in range(0, 1_500, 30):
            await outbox.put_rows_durable(rows(30, start))
        for number in range(4):
            await outbox.put_alarms([alarm(number)])
            await outbox.put_event("note", "", "n" * 300)
        await outbox.settle(ack(*(await everything(outbox))[:15]))
        pending = [c for cls in CLASSES for c in await everything(outbox, cls)]
        shutil.copytree(live, killed)
    return Made(killed, live, pending)


async def survives(directory: Path, made: Made, *, harmless: bool = False) -> int:
    """Open, send, fill, close, open again; how many chunks were still sent."""
    async with opened(directory, power_on="second", fsync="none") as outbox:
        found = [c for cls in CLASSES for c in await everything(outbox, cls)]
        old = [c for c in found if (c.stream, c.first_seq) in made.pending]
        for chunk in old:
            assert made.pending[chunk.stream, chunk.first_seq] == chunk.payload
        await outbox.put_rows_durable(rows(10, 9_000))
        assert values(await everything(outbox))[-10:] == [float(i) for i in range(9_000, 9_010)]
        told = [c for c in await everything(outbox, topics.EVENT) if c not in old]
        events = [decode_body(decode_header(c.payload), c.payload, Event) for c in told]
        gaps = [g for e in events if e.kind == SALVAGED for g in gaps_of(e)]
        streams = {c.stream for c in old if c.cls == topics.TELEMETRY}
        if harmless:
            assert len(old) == len(made.pending)
        elif gaps and streams:  # where the file still tells its numbers, each is accounted for
            numbers = RangeSet((0, 450) for _ in streams)
            for chunk in old:
                if chunk.cls == topics.TELEMETRY:
                    numbers.add(chunk.first_seq, chunk.first_seq + chunk.rows)
            for gap in gaps:
                if gap.stream == made.telemetry:
                    numbers.add(gap.lo, gap.hi)
            assert not numbers.missing(0, 1_500)
        (new,) = (await everything(outbox))[-1:]
        assert new.stream != made.telemetry or new.first_seq >= 1_500, "a number is used twice"
        await outbox.settle(ack(*await everything(outbox), *told, ingester="ingest-1"))
    aside = set_aside(directory)
    assert len(aside) <= 1
    if len(old) < len(made.pending):
        assert any(e.kind in (SALVAGED, POWER_CUT) for e in events), "nobody is told"
    async with opened(directory, fsync="none") as outbox:
        assert await everything(outbox) == []
    assert set_aside(directory) == aside, "it was salvaged once"
    return len(old)


def set_aside(directory: Path) -> list[Path]:
    return list(directory.glob("outbox-damaged-*.db"))


def damaged(source: Path, target: Path, name: str, at: int, put: bytes | None) -> Path:
    """A copy of `source` with `put` written into one file at `at`; None cuts it there."""
    shutil.copytree(source, target)
    with (target / name).open("r+b") as file:
        if put is None:
            file.truncate(at)
        else:
            file.seek(at)
            file.write(put)
    return target


async def test_a_file_cut_at_every_page(made: Made, tmp_path: Path) -> None:
    size = (made.closed / "outbox.db").stat().st_size
    sent = []
    for page in range(0, size, PAGE):
        for at in (page, page + 1_000):
            place = damaged(made.closed, tmp_path / f"cut-{at}", "outbox.db", at, None)
            sent.append(await survives(place, made))
    assert max(sent) > 20, "what lies before the cut is not given up"


async def test_every_page_overwritten_with_zeros_or_noise(made: Made, tmp_path: Path) -> None:
    size = (made.closed / "outbox.db").stat().st_size
    noise = random.Random(1)
    sent = []
    for at in range(0, size, PAGE):
        page = bytes(PAGE) if at % (2 * PAGE) else noise.randbytes(PAGE)
        place = damaged(made.closed, tmp_path / f"page-{at}", "outbox.db", at, page)
        sent.append(await survives(place, made))
    assert sum(n >= len(made.pending) - 12 for n in sent) > len(sent) * 0.8


@pytest.mark.parametrize("seed", range(4))
async def test_single_bits_changed_anywhere(made: Made, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    content = (made.closed / "outbox.db").read_bytes()
    for n in range(12):
        place = shutil.copytree(made.closed, tmp_path / f"flip-{n}")
        changed = bytearray(content)
        for _ in range(dice.choice((1, 1, 3, 20))):
            changed[dice.randrange(100, len(changed))] ^= 1 << dice.randrange(8)
        (place / "outbox.db").write_bytes(changed)
        await survives(place, made)


async def test_a_header_that_is_spoiled_field_by_field(made: Made, tmp_path: Path) -> None:
    for at in range(0, 100, 4):
        spoiled = b"\xff\x3f\xff\x5a"
        place = damaged(made.closed, tmp_path / f"header-{at}", "outbox.db", at, spoiled)
        await survives(place, made)


async def test_a_log_that_is_missing_cut_or_spoiled(made: Made, tmp_path: Path) -> None:
    log = made.killed / "outbox.db-wal"
    size = log.stat().st_size
    assert size > 20 * PAGE
    as_it_was = shutil.copytree(made.killed, tmp_path / "as-it-was")
    await survives(as_it_was, made, harmless=True)
    without = shutil.copytree(made.killed, tmp_path / "without")
    (without / "outbox.db-wal").unlink()
    await survives(without, made)
    for at in range(0, size, size // 12):
        for name, put in (("cut", None), ("noise", b"\xaa" * 40)):
            place = damaged(made.killed, tmp_path / f"log-{name}-{at}", "outbox.db-wal", at, put)
            await survives(place, made)
    shm = damaged(made.killed, tmp_path / "shm", "outbox.db-shm", 0, b"\x55" * 30_000)
    await survives(shm, made, harmless=True)


async def test_a_file_that_is_no_database(made: Made, tmp_path: Path) -> None:
    for name, content in (
        ("empty", b""),
        ("text", b"not a database at all\n" * 500),
        ("zeros", bytes(40 * PAGE)),
        ("short", b"SQLite format 3\0"),
        ("head", (made.closed / "outbox.db").read_bytes()[:100]),
    ):
        for source in (made.closed, made.killed):
            place = shutil.copytree(source, tmp_path / f"{name}-{source.name}")
            (place / "outbox.db").write_bytes(content)
            await survives(place, made)


async def test_what_a_kill_kept_from_being_taken_over_is_taken_over_at_the_next_start(
    made: Made, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    async with opened(place):
        pass
    shutil.copy(made.closed / "outbox.db", place / "outbox-salvaging-1.db")
    async with opened(place) as outbox:
        found = [c for cls in CLASSES for c in await everything(outbox, cls)]
        assert made.pending.items() <= {(c.stream, c.first_seq): c.payload for c in found}.items()
        assert outbox.salvaged == 1
    assert [p.name for p in set_aside(place)] == ["outbox-damaged-1.db"]
    async with opened(place) as outbox:
        assert outbox.salvaged == 0


async def test_a_file_that_broke_in_use_is_salvaged_whatever_it_looks_like(made: Made) -> None:
    (made.closed / "outbox.suspect").touch()
    assert await survives(made.closed, made, harmless=True)
    assert set_aside(made.closed)
    assert not (made.closed / "outbox.suspect").exists()


@pytest.mark.parametrize(
    ("fsync", "anew"),
    [
        ("none", {topics.TELEMETRY, topics.ALARM, topics.EVENT}),
        ("batch", {topics.TELEMETRY}),
        ("always", set()),
    ],
)
async def test_numbers_that_a_power_cut_may_have_taken_back_are_not_used_again(
    tmp_path: Path, fsync: str, anew: set[str]
) -> None:
    """The log loses its end, as what was not synced does; the cloud has rows that the file no longer knows."""
    live, killed = tmp_path / "live", tmp_path / "killed"
    async with opened(live, power_on="first", fsync=fsync) as outbox:
        await outbox.put_rows_durable(rows(10))
        size = (live / "outbox.db-wal").stat().st_size
        await outbox.put_rows_durable(rows(10, 10))
        await outbox.put_alarms([alarm(1)])
        sent = await everything(outbox)
        before = {s.cls: s.stream for s in outbox.stream_states()}
        shutil.copytree(live, killed)
    async with opened(
        shutil.copytree(killed, tmp_path / "same"), power_on="first", fsync=fsync
    ) as outbox:
        assert {s.cls: s.stream for s in outbox.stream_states()} == before, "only the process ended"
        assert await everything(outbox) == sent
    place = tmp_path / "place"
    if anew:
        damaged(killed, place, "outbox.db-wal", size, None)
    else:
        shutil.copytree(killed, place)
    for power_on in ("second", "third"):
        async with opened(place, power_on=power_on, fsync=fsync) as outbox:
            live_streams = {s.cls: s.stream for s in outbox.stream_states()}
            assert {c for c in before if live_streams[c] != before[c]} == anew
            before |= live_streams
            anew = set()  # it was closed
            told = await everything(outbox, topics.EVENT)
            assert sum(POWER_CUT.encode() in c.payload for c in told) == (fsync != "always")


async def test_damage_that_is_met_in_use_ends_the_run_and_the_next_start_salvages(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a file too large to be read through at every start."""
    monkeypatch.setattr(database, "_CHECKED_BYTES", 0)
    size = (made.closed / "outbox.db").stat().st_size
    met = 0
    for at in range(2 * PAGE, size, 3 * PAGE):
        place = damaged(made.closed, tmp_path / f"page-{at}", "outbox.db", at, bytes(PAGE))
        for start in range(3):
            try:
                sent = await survives(place, made)
            except OutboxCorruptError:
                met += 1
                assert start == 0, "it goes on failing"
                assert (place / "outbox.suspect").exists()
            else:
                assert sent > len(made.pending) // 2
                break
    assert met > 3


async def test_numbers_that_a_disk_lost_in_use_without_a_power_cut_are_not_used_again(
    tmp_path: Path,
) -> None:
    """As when ext4 turns read-only after an error: what was written and not synced is gone once it is mounted anew."""
    live, old = tmp_path / "live", tmp_path / "old"
    async with opened(live, power_on="first", fsync="batch") as outbox:
        await outbox.put_rows_durable(rows(10))
        shutil.copytree(live, old)
        await outbox.put_rows_durable(rows(10, 10))
        sent = {(c.stream, c.first_seq): c.payload for c in await everything(outbox)}
        note = note_of(live).read_bytes()
    assert not note_of(live).exists(), "closed in order, there is nothing to know"
    shutil.rmtree(live)
    shutil.copytree(old, live)
    note_of(live).write_bytes(note)
    async with opened(live, power_on="first", fsync="batch") as outbox:
        await outbox.put_rows_durable(rows(10, 500))
        again = {(c.stream, c.first_seq): c.payload for c in await everything(outbox)}
        assert [key for key in sent.keys() & again.keys() if sent[key] != again[key]] == []
        (told,) = await everything(outbox, topics.EVENT)
        assert POWER_CUT.encode() in told.payload
        assert b"the disk has lost" in told.payload
