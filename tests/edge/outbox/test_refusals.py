"""While the disk refuses: who waits, what is given up, and that nothing is told or kept twice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from edge.outbox import Outbox
from edge.outbox import committer as module
from tests.edge.outbox.test_outbox import (
    LAYOUT,
    T0,
    ack,
    everything,
    markers,
    opened,
    rows,
    values,
)
from tocsin.contract import topics
from tocsin.contract.columns import Row
from tocsin.contract.gaps import Gap, gaps_of
from tocsin.contract.messages import VERSION, CommitAck, StreamAck
from tocsin.errors import OutboxError
from tocsin.testing import wait_until


async def refuse(outbox: Outbox, *, refuse: bool = True) -> None:
    """SQLite then answers every write as on a file system that became read-only."""
    db = outbox._store.db
    await outbox._disk.call(db.execute, f"PRAGMA query_only = {int(refuse)}")


async def test_polled_rows_are_given_up_only_when_no_more_may_wait_and_a_marker_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BUFFERED_ROWS", 100)
    monkeypatch.setattr(module, "_RETRY_S", 0.02)
    async with opened(tmp_path) as outbox:
        await refuse(outbox)
        assert await outbox.offer_rows(rows(10), [])
        await wait_until(lambda: outbox.refuses)
        taken = 10
        while await outbox.offer_rows(rows(10, taken), []):
            taken += 10
        assert 100 <= taken <= 210  # those being committed, and as many behind them
        outbox.shed(rows(10, taken))
        outbox.shed(rows(5, taken + 10))
        outbox.shed([Row(LAYOUT, 77, (1.0, 1.0))], stamped=False)
        pushed = asyncio.create_task(outbox.put_rows_durable(rows(10, 900)))
        await asyncio.sleep(0.1)
        assert not pushed.done(), "who pushed waits, unanswered"
        await refuse(outbox, refuse=False)
        await pushed
        assert not outbox.refuses
        kept = values(await everything(outbox))
        assert kept == [*map(float, range(taken)), *map(float, range(900, 910))]
        (marker,) = markers(await everything(outbox, topics.EVENT))
        last = T0 + (taken + 14) * 1_000_000
        assert gaps_of(marker) == [
            Gap("telemetry", "", 0, 16, T0 + taken * 1_000_000, last, {"gas-01": 16})
        ]
        assert outbox.stats().dropped_rows == 16


async def test_what_a_kill_can_cost_grows_while_the_disk_refuses(tmp_path: Path) -> None:
    async with opened(tmp_path, commit_interval_ms=20) as outbox:
        assert outbox.unjournalled_ms == 20
        await refuse(outbox)
        assert await outbox.offer_rows(rows(10), [])
        begun = time.monotonic()
        await wait_until(lambda: outbox.unjournalled_ms >= 100)
        assert time.monotonic() - begun >= 0.099
        assert outbox.refuses
        assert await outbox.offer_rows(rows(10, 10), [])
        assert outbox.unjournalled_ms >= 100, "the oldest counts"
        await refuse(outbox, refuse=False)
        await outbox.put_rows_durable([])
        assert outbox.unjournalled_ms == 20


async def test_an_ack_that_could_not_be_kept_is_kept_with_the_next(tmp_path: Path) -> None:
    async with opened(tmp_path, commit_rows=10) as outbox:
        for start in (0, 10):
            await outbox.put_rows_durable(rows(10, start))
        first, second = await everything(outbox)
        await refuse(outbox)
        with pytest.raises(OutboxError):
            await outbox.settle(ack(first))
        assert outbox.is_settled(first), "it is not sent again by this run"
        await refuse(outbox, refuse=False)
        await outbox.settle(CommitAck(VERSION, "ingest-0", {first.stream: StreamAck(20)}))
        assert outbox.stats().pending_rows == 0
    async with opened(tmp_path) as outbox:
        assert await everything(outbox) == []
        assert second


async def test_what_an_ingester_lost_while_the_disk_refused_is_sent_again_with_its_next_ack(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, commit_rows=10) as outbox:
        for start in (0, 10):
            await outbox.put_rows_durable(rows(10, start))
        first, second = await everything(outbox)
        await outbox.settle(ack(first, second))
        await refuse(outbox)
        restored = CommitAck(VERSION, "ingest-0", {first.stream: StreamAck(10)})
        for _ in range(2):
            with pytest.raises(OutboxError):
                await outbox.settle(restored)
        await refuse(outbox, refuse=False)
        assert await everything(outbox) == []
        await outbox.settle(restored)
        assert await everything(outbox) == [second]
        assert (outbox.taken_back, outbox.stats().pending_rows) == (10, 10)
        await outbox.settle(restored)
        (told,) = await everything(outbox, topics.EVENT)
        assert b"cloud.restored" in told.payload
        assert b'"n":10' in told.payload


async def test_what_an_ack_makes_superfluous_never_costs_what_the_same_ack_asks_for(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, commit_rows=10) as outbox:
        for start in (0, 10):
            await outbox.put_rows_durable(rows(10, start))
        first, second = await everything(outbox)
        outbox._store.room._keep = len(first.payload)
        await outbox.settle(ack(first))
        await outbox.settle(ack(second))
        assert await everything(outbox) == [first]


async def test_a_disk_that_does_not_sync_takes_each_row_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, fsync="batch") as outbox:
        await outbox.put_rows_durable(rows(5))
        outbox._store._wal = tmp_path / "gone"
        for start in (5, 15):
            outbox._store._synced_s = 0.0
            await outbox.put_rows_durable(rows(10, start))
        assert values(await everything(outbox)) == [float(i) for i in range(25)]
        assert outbox._store.sync_failures == 2
    assert sum("does not sync" in r.getMessage() for r in caplog.records) == 1


async def test_a_call_that_comes_after_the_end_is_no_damage(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable(rows(10))
        await outbox._disk.call(outbox._store.close)
        with pytest.raises(OutboxError, match="closed"):
            await outbox.put_event("late")
    async with opened(tmp_path) as outbox:
        assert outbox.salvaged == 0
        assert values(await everything(outbox)) == [float(i) for i in range(10)]
