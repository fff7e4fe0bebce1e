"""What a damaged file held is sent while it is still being taken over, beside what is new."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.outbox import outbox as module
from tests.edge.uplink.test_uplink import alarm, ingester, open_outbox, rows, running
from tocsin.broker import ChildBroker
from tocsin.contract import topics
from tocsin.testing import wait_until


async def test_a_large_file_is_taken_over_while_the_gateway_works(
    mosquitto: ChildBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SALVAGE_PATIENCE_S", 0.0)
    damaged, place = tmp_path / "damaged", tmp_path / "place"
    async with open_outbox(damaged) as outbox:
        for start in range(0, 4_000, 10):
            await outbox.put_rows_durable(rows(10, start))
        await outbox.put_alarms([alarm(1)])
    async with open_outbox(place):
        pass
    await asyncio.to_thread((damaged / "outbox.db").rename, place / "outbox-salvaging-1.db")
    with ingester(mosquitto.port) as cloud:
        async with open_outbox(place) as outbox, running(outbox, mosquitto.port):
            assert outbox.salvaged == 0, "it goes on beside"
            await outbox.put_rows_durable(rows(10, 9_000))
            await wait_until(lambda: outbox.salvaged == 1)
            await wait_until(lambda: cloud.rows() == 4_010)
            await wait_until(lambda: cloud.rows(topics.ALARM) == 1)
            await wait_until(lambda: outbox.stats().pending_rows == 0)
        assert cloud.changed == []
    async with open_outbox(place) as outbox:
        assert outbox.stats().pending_rows == 0
