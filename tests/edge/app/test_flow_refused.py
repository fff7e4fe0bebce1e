"""The disk refuses for so long that no more may wait for it: the flow goes on judging, and tells apart who sends again."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from edge.config import OutputConfig
from edge.devices import Devices
from edge.events import EventQueue
from edge.flow import Flow
from edge.outbox import committer
from edge.outputs import FileOutput
from edge.timekeeper import Timekeeper
from tests.edge.app.test_agent_parts import GAS, desk_on, kept_alarms, open_outbox
from tests.edge.outbox.test_outbox import everything, markers, values
from tests.edge.outbox.test_refusals import refuse
from tocsin.contract import topics
from tocsin.contract.gaps import gaps_of
from tocsin.sdk import Sample, SystemClock
from tocsin.testing import wait_until


async def test_an_alarm_sounds_what_is_pushed_waits_and_only_what_is_polled_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "MAX_BUFFERED_ROWS", 20)
    monkeypatch.setattr(committer, "_RETRY_S", 0.02)
    outbox = await open_outbox(tmp_path)
    siren = FileOutput(OutputConfig(name="siren", path=tmp_path / "siren"))
    pipeline, desk = desk_on(tmp_path, outbox, siren)
    clock = SystemClock()
    events = EventQueue(outbox, clock)
    devices = Devices(pipeline, events.say)
    devices.add("s", (GAS,))
    flow = Flow(
        pipeline,
        outbox,
        desk,
        devices,
        clock,
        events.say,
        Timekeeper(earliest_ns=0),
        queue_samples=64,
    )
    tasks = [asyncio.create_task(work()) for work in (flow.run, desk.run, events.run)]
    value = 0.0

    async def poll() -> None:
        nonlocal value
        value += 0.01
        await flow.put(Sample(GAS, time.time_ns(), (value,)))
        await flow.drained()

    try:
        await poll()
        await outbox.put_rows_durable([])
        await refuse(outbox)
        while not outbox.stats().dropped_rows:
            await poll()
        pushed = asyncio.create_task(flow.keep([Sample(GAS, time.time_ns(), (5.0,))]))
        judged = flow.processed
        await wait_until(lambda: flow.processed > judged)
        events.say("note", "", "it happened", {})
        await flow.put(Sample(GAS, time.time_ns(), (50.0,)))
        await wait_until(lambda: siren.is_on)
        await wait_until(lambda: outbox.stats().dropped_rows >= 2)
        assert not pushed.done()
        dropped = outbox.stats().dropped_rows
        await refuse(outbox, refuse=False)
        await pushed
        await wait_until(lambda: outbox.stats().pending_alarms == 1)
        await events.drained()
        kept = values(await everything(outbox))
        assert 5.0 in kept
        assert 50.0 not in kept
        (raised,) = await kept_alarms(outbox)
        assert raised.value == 50.0
        told = await everything(outbox, topics.EVENT)
        assert sum(b'"kind":"note"' in c.payload for c in told) == 1
        (gap,) = [g for m in markers(told) for g in gaps_of(m)]
        assert (gap.rows, gap.devices, gap.stream) == (dropped, {"gas-01": dropped}, "")
        assert flow.readings == len(kept) + dropped
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await outbox.aclose()
