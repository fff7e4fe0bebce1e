"""kill -9 while another file is taken over: at the next start nothing of it is missing and nothing is there twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config import GatewayConfig, load_gateway
from edge.keeping import open_outbox
from edge.outbox import Outbox, salvage, stand_in
from tests.edge.outbox.test_damage import set_aside
from tests.edge.outbox.test_outbox import LAYOUT, everything, opened, rows, values
from tests.edge.uplink.dying import Child, run_taking_over
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.columns import Row
from tocsin.contract.messages import Event
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

KILLS = [
    ("adopted", 2),
    ("noted", 1),
    ("added", 2),
    ("taken", 1),
    ("taken", 3),
]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.toml"
    text = 'schema = 1\n[gateway]\nid = "gw-1"\nsite = "east"\ndata_dir = "data"\n'
    file.write_text(text, "utf-8")
    return file


@pytest.fixture
def directory(config: Path) -> Path:
    return _loaded(config).gateway.data_dir / "outbox"


@pytest.fixture
def memory(directory: Path) -> Iterator[Path]:
    place = stand_in.place(directory)
    assert place is not None
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _loaded(config: Path) -> GatewayConfig:
    return load_gateway(config).value


async def _fill(directory: Path) -> None:
    """More chunks than one part has, and three parts without a time."""
    async with opened(directory, commit_rows=10) as outbox:
        for start in range(0, 700, 10):
            await outbox.put_rows_durable(rows(10, start))
        for start in range(3):
            await outbox.put_rows(
                [Row(LAYOUT, n, (float(n), 1.0)) for n in _mono(start)], stamped=False
            )
            await wait_until(lambda: outbox.stats().buffered_rows == 0)
        assert outbox.holds == 30


def _mono(part: int) -> range:
    return range(1_000 * part, 1_000 * part + 10)


async def _kill(config: Path, told: Path, point: str, nth: int) -> None:
    with Child(told, run_taking_over, config, point, nth) as child:
        await wait_until(lambda: child.status is not None, 60.0)
        assert child.status == -9, child.told()


async def _holds_each_once(outbox: Outbox) -> None:
    assert values(await everything(outbox)) == [float(i) for i in range(700)]
    times = []
    while held := await outbox.first_held():
        times += [row.time_ns for row in held.rows]
        await outbox.release(held, [])
    assert times == [n for part in range(3) for n in _mono(part)]


async def _told(outbox: Outbox, kind: str) -> list[Event]:
    chunks = await everything(outbox, topics.EVENT)
    events = [decode_body(decode_header(c.payload), c.payload, Event) for c in chunks]
    return [event for event in events if event.kind == kind]


@pytest.mark.parametrize(("point", "nth"), [*KILLS, ("tell", 1), ("told", 1), ("renamed", 1)])
async def test_a_file_set_aside_is_taken_over_once(
    config: Path, directory: Path, tmp_path: Path, point: str, nth: int
) -> None:
    await _fill(tmp_path / "damaged")
    async with opened(directory):
        pass
    (tmp_path / "damaged" / "outbox.db").rename(directory / "outbox-salvaging-1.db")
    await _kill(config, tmp_path / "first", point, nth)
    outbox = await open_outbox(_loaded(config), SystemClock(), "")
    try:
        await _holds_each_once(outbox)
        (event,) = await _told(outbox, "outbox.salvaged")
        assert (event.data["rows"], event.data["chunks"]) == (730, 70)
        assert [path.name for path in set_aside(directory)] == ["outbox-damaged-1.db"]
        assert not salvage.waiting(directory)
    finally:
        await outbox.aclose()


@pytest.mark.parametrize(("point", "nth"), [*KILLS, ("distrusted", 1), ("said", 1), ("removed", 1)])
async def test_what_lies_in_memory_is_brought_back_once(
    config: Path, directory: Path, memory: Path, tmp_path: Path, point: str, nth: int
) -> None:
    await _fill(memory)
    async with opened(directory):
        pass
    await _kill(config, tmp_path / "first", point, nth)
    outbox = await open_outbox(_loaded(config), SystemClock(), "")
    try:
        await _holds_each_once(outbox)
        assert await _told(outbox, "outbox.on-disk-again")
        assert stand_in.left(directory) is None
    finally:
        await outbox.aclose()


async def test_rows_without_a_time_that_lay_in_memory_are_taken_each_time_the_disk_refused(
    config: Path, directory: Path, memory: Path
) -> None:
    """Their numbers in the file begin anew with each file."""
    for start in range(2):
        async with opened(memory) as outbox:
            held = [Row(LAYOUT, n, (float(n), 1.0)) for n in _mono(start)]
            await outbox.put_rows(held, stamped=False)
        outbox = await open_outbox(_loaded(config), SystemClock(), "")
        try:
            assert outbox.holds == 10 * (start + 1)
        finally:
            await outbox.aclose()
        stand_in.place(directory)
