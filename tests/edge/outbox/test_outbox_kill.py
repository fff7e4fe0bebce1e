"""kill -9 in the middle of the outbox's work, in a process of its own; and the outbox against a model."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.options import OutboxOptions
from edge.outbox import Chunk, Outbox
from tests.edge.uplink.dying import Child, run_thinning
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.columns import Layout, Row
from tocsin.contract.gaps import gaps_of
from tocsin.contract.messages import VERSION, CommitAck, Event, StreamAck
from tocsin.contract.ranges import RangeSet
from tocsin.sdk import SystemClock
from tocsin.testing import run_process, wait_until

LAYOUT = Layout("gas-01", "gas", ("h2s",), "f")
T0 = 1_700_000_000_000_000_000

# The child tells each durable row before it goes on, and kills itself just before the Nth statement that starts so.
_CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from edge.options import OutboxOptions
from edge.outbox import Outbox
from tocsin.contract.columns import Layout, Row
from tocsin.contract.messages import VERSION, CommitAck, StreamAck
from tocsin.sdk import SystemClock
directory, statement, nth, start = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
seen = 0
def trace(sql):
    global seen
    if sql.startswith(statement):
        seen += 1
        if seen == nth:
            os.kill(os.getpid(), signal.SIGKILL)
async def main():
    outbox = await Outbox.open(directory, site="east", gateway="gw-1", clock=SystemClock(),
        options=OutboxOptions(commit_interval_ms=5, keep_committed_bytes=0))
    layout = Layout("gas-01", "gas", ("h2s",), "f")
    if statement != "-":
        outbox._store.db.set_trace_callback(trace)
    for i in range(start, start + 400):
        await outbox.put_rows_durable([Row(layout, 1_700_000_000_000_000_000 + i, (float(i),))])
        print("durable", i, flush=True)
        if i % 5 == 4:
            for chunk in (await outbox.pending("telemetry", limit=3)):
                print("settled", chunk.first_seq, chunk.first_seq + chunk.rows, flush=True)
                ack = StreamAck(0, [(chunk.first_seq, chunk.first_seq + chunk.rows)])
                await outbox.settle(CommitAck(VERSION, "x", {chunk.stream: ack}))
    print("end", flush=True)
asyncio.run(main())
"""


async def _reopen(directory: Path) -> tuple[list[Chunk], list[Chunk], int]:
    """All unsettled chunks, read twice, and the next number."""
    outbox = await _open(directory)
    try:
        (state,) = [s for s in outbox.stream_states() if s.cls == topics.TELEMETRY]
        first = await outbox.pending(topics.TELEMETRY, limit=5_000)
        second = await outbox.pending(topics.TELEMETRY, limit=5_000)
        return first, second, state.next_seq
    finally:
        await outbox.aclose()


async def _open(directory: Path) -> Outbox:
    return await Outbox.open(
        directory,
        site="east",
        gateway="gw-1",
        clock=SystemClock(),
        options=OutboxOptions(commit_interval_ms=5, keep_committed_bytes=0, fsync="none"),
    )


@pytest.mark.parametrize(
    ("statement", "nth"),
    [
        ("BEGIN", 7),
        ("INSERT INTO chunk", 9),
        ("UPDATE stream", 12),
        ("COMMIT", 6),
        ("COMMIT", 33),
        ("PRAGMA page_count", 8),
        ("INSERT INTO settled", 5),
        ("DELETE FROM settled", 4),
        ("DELETE FROM chunk", 3),
        ("SELECT id, stream, first_seq, rows, payload", 4),
    ],
)
async def test_after_kill_9_every_durable_row_is_there_once(
    tmp_path: Path, statement: str, nth: int
) -> None:
    durable, settled = -1, set[int]()
    for round_ in range(2):
        start = 400 * round_
        argv = [sys.executable, "-c", _CHILD, str(tmp_path), statement, str(nth), str(start)]
        with run_process(argv) as child:
            status = await asyncio.to_thread(child.wait)
            assert status == -9, child.stderr
            lines = [line.split() for line in child.stdout]
        told = sum(1 for words in lines if words[0] == "durable")
        for words in lines:
            if words[0] == "settled":
                settled |= set(range(int(words[1]), int(words[2])))
        first, second, next_seq = await _reopen(tmp_path)
        assert first == second
        numbers = [n for c in first for n in range(c.first_seq, c.first_seq + c.rows)]
        assert len(numbers) == len(set(numbers))
        missing = set(range(next_seq)) - set(numbers)
        assert missing <= settled, "a row is gone that nobody committed"
        durable = max(durable, 0) + told
        assert durable <= next_seq <= durable + round_ + 1
        durable = next_seq


@pytest.mark.parametrize(
    ("statement", "nth"),
    [
        ("DELETE FROM chunk", 40),
        ("INSERT INTO settled", 9),
        ("UPDATE chunk SET payload", 5),
        ("COMMIT", 60),
    ],
)
async def test_a_kill_while_room_is_made_leaves_each_row_there_or_in_a_gap_marker(
    tmp_path: Path, statement: str, nth: int
) -> None:
    with Child(tmp_path / "first", run_thinning, tmp_path / "outbox", statement, nth) as child:
        await wait_until(lambda: child.status is not None, 60.0)
        assert child.status == -9, child.told()
    outbox = await _open(tmp_path / "outbox")
    try:
        left = await outbox.pending(topics.TELEMETRY, limit=5_000)
        told = await outbox.pending(topics.EVENT, limit=5_000)
        events = [decode_body(decode_header(c.payload), c.payload, Event) for c in told]
        gaps = [gap for event in events for gap in gaps_of(event)]
        (state,) = [s for s in outbox.stream_states() if s.cls == topics.TELEMETRY]
        spans = [(c.first_seq, c.first_seq + c.rows) for c in left]
        spans += [(gap.lo, gap.hi) for gap in gaps]
        assert gaps
        assert list(RangeSet(spans)) == [(0, state.next_seq)]
        assert sum(hi - lo for lo, hi in spans) == state.next_seq, "none is in both"
    finally:
        await outbox.aclose()


_STEP = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 1_200)),
    st.tuples(st.just("settle"), st.tuples(st.integers(0, 4_000), st.integers(0, 900))),
    st.tuples(st.just("reopen"), st.just(0)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_STEP, min_size=1, max_size=12))
def test_the_outbox_is_a_set_of_numbers_minus_what_was_settled(
    steps: list[tuple[str, int | tuple[int, int]]],
) -> None:
    async def play(directory: Path) -> None:
        outbox = await _open(directory)
        count, settled, payloads, told = 0, set[int](), dict[int, bytes](), RangeSet()
        try:
            for name, argument in steps:
                if name == "put" and isinstance(argument, int):
                    rows = [Row(LAYOUT, T0 + count + i, (1.0,)) for i in range(argument)]
                    await outbox.put_rows_durable(rows)
                    count += argument
                elif isinstance(argument, tuple):
                    lo, hi = argument[0], sum(argument)
                    stream = next(s.stream for s in outbox.stream_states() if s.cls == "telemetry")
                    told.add(lo, min(hi, count))  # an ack always tells all an ingester holds
                    await outbox.settle(CommitAck(VERSION, "x", {stream: StreamAck(0, list(told))}))
                    settled |= set(range(lo, min(hi, count)))
                else:
                    await outbox.aclose()
                    outbox = await _open(directory)
                chunks = await outbox.pending(topics.TELEMETRY, limit=5_000)
                held = {n for c in chunks for n in range(c.first_seq, c.first_seq + c.rows)}
                assert set(range(count)) - settled <= held
                assert outbox.stats().pending_rows == count - len(settled)
                assert all(
                    not set(range(c.first_seq, c.first_seq + c.rows)) <= settled for c in chunks
                )
                for chunk in chunks:
                    assert payloads.setdefault(chunk.first_seq, chunk.payload) == chunk.payload
        finally:
            await outbox.aclose()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory)))
