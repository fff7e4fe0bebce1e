"""Who leaves a full outbox: never what waits while anything committed is left, wherever that lies."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.outbox import Chunk, Outbox
from tests.edge.outbox.test_outbox import T0, ack, everything, markers, opened, rows
from tests.edge.outbox.test_refusals import refuse
from tocsin.contract import topics
from tocsin.contract.columns import Layout, Row
from tocsin.contract.gaps import gaps_of
from tocsin.contract.messages import VERSION, CommitAck, StreamAck
from tocsin.contract.ranges import RangeSet
from tocsin.errors import OutboxError

WORDY = Layout("log-01", "event", ("text",), "s")


def wordy(count: int, start: int) -> list[Row]:
    """A few rows that fill much room."""
    return [Row(WORDY, T0 + i * 1_000_000, ("x" * 5_000,)) for i in range(start, start + count)]


def kept(directory: Path) -> list[tuple[int, int]]:
    """The spans of all telemetry chunks in the file, as another process sees it."""
    db = sqlite3.connect(directory / "outbox.db")
    found = db.execute(
        "SELECT first_seq, first_seq + rows FROM chunk WHERE cls = 'telemetry' ORDER BY id"
    ).fetchall()
    db.close()
    return found


async def backlog_and_live(outbox: Outbox, chunks: int, live_rows: int) -> list[Chunk]:
    """Chunks that wait, and behind them live ones that the cloud commits at once."""
    for start in range(0, chunks * 10, 10):
        await outbox.put_rows_durable(rows(10, start))
    backlog = await everything(outbox)
    assert len(backlog) == chunks
    told: list[Chunk] = []
    for start in range(chunks * 10, chunks * 10 + live_rows, 100):
        await outbox.put_rows_durable(wordy(100, start))
        told += await outbox.pending(topics.TELEMETRY, after=(told or backlog)[-1].id)
        await outbox.settle(ack(*told))
    return backlog


@pytest.mark.parametrize("keep", [0, 64 << 20])
async def test_committed_chunks_behind_a_long_backlog_go_before_what_waits(
    tmp_path: Path, keep: int
) -> None:
    limits: dict[str, Any] = {"max_bytes": 1 << 20, "keep_committed_bytes": keep}
    async with opened(tmp_path, fsync="none", commit_rows=10, **limits) as outbox:
        backlog = await backlog_and_live(outbox, 300, 1_000)
        assert outbox.stats().dropped_rows == 0
        assert await everything(outbox) == backlog
        if not keep:
            assert kept(tmp_path) == [(c.first_seq, c.first_seq + c.rows) for c in backlog]
            assert outbox._store.room.settled_bytes == 0


async def test_the_first_number_kept_is_never_beyond_one_that_waits(tmp_path: Path) -> None:
    async with opened(tmp_path, commit_rows=10, keep_committed_bytes=0) as outbox:
        for start in range(0, 50, 10):
            await outbox.put_rows_durable(rows(10, start))
        chunks = await everything(outbox)
        for settled, first_kept in ((chunks[2:4], 0), (chunks[0:1], 10), (chunks[1:2], 40)):
            await outbox.settle(ack(*settled, ingester=f"ingest-{first_kept}"))
            (state,) = [s for s in outbox.stream_states() if s.cls == topics.TELEMETRY]
            assert state.first_kept == first_kept
    async with opened(tmp_path) as outbox:
        (state,) = [s for s in outbox.stream_states() if s.cls == topics.TELEMETRY]
        assert state.first_kept == 40


async def test_bytes_of_committed_chunks_are_counted_once_when_the_disk_refuses_an_ack(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, commit_rows=10) as outbox:
        await outbox.put_rows_durable(rows(10))
        (chunk,) = await everything(outbox)
        await refuse(outbox)
        with pytest.raises(OutboxError):
            await outbox.settle(ack(chunk))
        await refuse(outbox, refuse=False)
        await outbox.settle(ack(chunk))
        assert outbox._store.room.settled_bytes == len(chunk.payload)


_STEP = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 12), st.just(0)),
    st.tuples(st.just("settle"), st.integers(0, 30), st.integers(1, 4)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([0, 200_000, 64 << 20]), st.lists(_STEP, min_size=6, max_size=25))
def test_nothing_that_waits_is_given_up_while_a_committed_chunk_is_kept(
    keep: int, steps: list[tuple[str, int, int]]
) -> None:
    async def play(directory: Path) -> None:
        limits: dict[str, Any] = {"max_bytes": 1 << 20, "keep_committed_bytes": keep}
        async with opened(directory, fsync="none", **limits) as outbox:
            count, settled = 0, RangeSet()
            for name, n, further in steps:
                dropped = outbox.stats().dropped_rows
                if name == "put":
                    for _ in range(n):
                        await outbox.put_rows_durable(wordy(10, count))
                        count += 10
                else:
                    pending = await everything(outbox)
                    at = n % (len(pending) or 1)
                    chosen = pending[at : at + further]
                    for chunk in chosen:
                        settled.add(chunk.first_seq, chunk.first_seq + chunk.rows)
                    if chosen:
                        have = {chosen[0].stream: StreamAck(0, list(settled))}
                        await outbox.settle(CommitAck(VERSION, "ingest-0", have))
                pending = await everything(outbox)
                waiting = RangeSet((c.first_seq, c.first_seq + c.rows) for c in pending)
                if outbox.stats().dropped_rows > dropped:
                    assert all(waiting.missing(*span) == [] for span in kept(directory))
                (state,) = [s for s in outbox.stream_states() if s.cls == topics.TELEMETRY]
                assert state.first_kept == min((lo for lo, _ in kept(directory)), default=count)
                gone = RangeSet(settled)
                for marker in markers(await everything(outbox, topics.EVENT)):
                    for gap in gaps_of(marker):
                        gone.add(gap.lo, gap.hi)
                for lo, hi in waiting:
                    gone.add(lo, hi)
                assert not gone.missing(0, count), "each row waits, is committed or is told of"

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory)))
