"""What waited, or was given up, while the disk refused is told by the next agent, once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.outbox import Outbox
from edge.outbox import committer as module
from edge.outbox.stand_in import note_of
from tests.edge.outbox.test_outbox import LAYOUT, T0, everything, markers, opened, rows, values
from tests.edge.outbox.test_refusals import refuse
from tests.edge.uplink.dying import Child, run_refused
from tocsin.contract import topics
from tocsin.contract.columns import Row
from tocsin.contract.gaps import Gap, gaps_of
from tocsin.testing import wait_until, wait_until_sync


@pytest.fixture
def note(tmp_path: Path) -> Iterator[Path]:
    path = note_of(tmp_path).with_suffix(".shed")
    yield path
    path.unlink(missing_ok=True)


async def _told(outbox: Outbox) -> list[Gap]:
    found: list[Gap] = []

    async def look() -> bool:
        found[:] = [
            gap
            for marker in markers(await everything(outbox, topics.EVENT))
            for gap in gaps_of(marker)
        ]
        return bool(found)

    await wait_until(look)
    return found


async def _killed(
    folder: Path, told: Path, word: str, point: str = "-", nth: int = 1, hangs_s: float = 0.0
) -> None:
    """At `point`; `-`: once it says `word`."""
    with Child(told, run_refused, folder, point, nth, hangs_s) as child:
        await wait_until(lambda: child.status or (point == "-" and word in child.told()), 60.0)
        assert child.status in (None, -9), child.told()


GONE = Gap(topics.TELEMETRY, "", 0, 17, T0 + 5, T0 + 28, {"gas-01": 17})


@pytest.mark.parametrize(
    ("point", "nth", "hangs_s"),
    [("-", 1, 0), ("tell", 1, 0), ("told", 1, 0), ("clear", 1, 0), ("clear", 1, 0.3)],
)
async def test_after_a_kill_what_was_polled_and_not_kept_is_told_once(
    tmp_path: Path, note: Path, point: str, nth: int, hangs_s: float
) -> None:
    """Pushed rows are not told: their source sends them again."""
    await _killed(tmp_path, tmp_path / "first", "noted")
    await wait_until(note.exists)
    await _killed(tmp_path, tmp_path / "second", "again", point, nth, hangs_s)
    for _ in range(2):
        async with opened(tmp_path) as outbox:
            assert await _told(outbox) == [GONE]
            assert values(await everything(outbox)) == [0.0, 1.0, 2.0, 3.0, 4.0]
            await wait_until(lambda: not note.exists())


async def test_after_an_orderly_end_on_a_full_disk_it_is_told_too(
    tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.02)
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable(rows(10))
        await refuse(outbox)
        assert await outbox.offer_rows(rows(10, 10), [])
        await wait_until(lambda: outbox.refuses)
        outbox.shed([Row(LAYOUT, 77, (1.0, 1.0))], stamped=False)
    async with opened(tmp_path) as outbox:
        (gap,) = await _told(outbox)
        assert (gap.rows, gap.first_ns, gap.last_ns) == (11, T0 + 10_000_000, T0 + 19_000_000)


async def test_while_the_disk_still_refuses_the_note_of_the_last_agent_is_not_lost(
    tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.02)
    for start in (0, 10):
        async with opened(tmp_path, commit_interval_ms=200) as outbox:
            await refuse(outbox)
            assert await outbox.offer_rows(rows(10, start), [])
            await wait_until(lambda: outbox.refuses)
    async with opened(tmp_path) as outbox:
        (gap,) = await _told(outbox)
        assert (gap.rows, gap.devices) == (20, {"gas-01": 20})


async def test_a_disk_that_takes_rows_again_leaves_no_note(
    tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.02)
    async with opened(tmp_path) as outbox:
        await refuse(outbox)
        assert await outbox.offer_rows(rows(10), [])
        await wait_until(note.exists)
        await refuse(outbox, refuse=False)
        await outbox.put_rows_durable([])
        await wait_until(lambda: not note.exists())
        assert values(await everything(outbox)) == [float(i) for i in range(10)]
        assert await everything(outbox, topics.EVENT) == []


async def test_a_disk_that_hangs_is_noted_before_it_answers(
    tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.02)
    async with opened(tmp_path) as outbox:
        store, hangs = outbox._store, True
        kept = store.append_rows

        def append(*args: object) -> list[Gap]:
            wait_until_sync(lambda: not hangs)
            return kept(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "append_rows", append)
        assert await outbox.offer_rows(rows(10), [])
        try:
            await wait_until(note.exists)
        finally:
            hangs = False
        await outbox.put_rows_durable([])
        await wait_until(lambda: not note.exists())


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100])
async def test_a_note_that_is_no_note_is_passed_over(
    tmp_path: Path, note: Path, content: bytes
) -> None:
    await asyncio.to_thread(note.write_bytes, content)
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable(rows(1))
        assert await everything(outbox, topics.EVENT) == []
