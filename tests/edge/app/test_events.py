"""Events on their way to the outbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.events import EventQueue
from edge.outbox import Outbox
from tests.edge.outbox.test_outbox import opened
from tests.edge.outbox.test_refusals import refuse
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Event
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

DEVICES = 400


async def kept(outbox: Outbox) -> list[str]:
    chunks = await outbox.pending("event", limit=2 * DEVICES)
    events = [decode_body(decode_header(c.payload), c.payload, Event) for c in chunks]
    return [e.device for e in events if e.kind == "device.announced"]


def announced(events: EventQueue) -> list[str]:
    names = [f"gas-{n:03}" for n in range(DEVICES)]
    for name in names:
        events.say("device.announced", name, "gas", {"measurement": "gas"})
    return names


async def test_hundreds_of_devices_are_announced_in_a_dozen_commits_in_order(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as outbox:
        events = EventQueue(outbox, SystemClock())
        names, before = announced(events), outbox.stats().commits
        running = asyncio.create_task(events.run())
        await events.drained()
        running.cancel()
        assert outbox.stats().commits - before <= DEVICES / 30
        assert await kept(outbox) == names


async def test_what_the_disk_refuses_together_is_kept_once_when_it_takes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.events._RETRY_S", 0.02)
    async with opened(tmp_path) as outbox:
        await outbox.put_event("note")
        events = EventQueue(outbox, SystemClock())
        names = announced(events)
        asked: list[int] = []
        really = outbox._store.append_events

        def append_events(told: list[object], now_ns: int) -> object:
            asked.append(len(told))
            return really(told, now_ns)  # type: ignore[arg-type]

        monkeypatch.setattr(outbox._store, "append_events", append_events)
        await refuse(outbox)
        running = asyncio.create_task(events.run())
        await wait_until(lambda: len(asked) >= 2)
        await refuse(outbox, refuse=False)
        await events.drained()
        running.cancel()
        assert await kept(outbox) == names
