"""What real links and brokers do to a gateway: cuts, and a broker that forgets what it had confirmed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.outbox import Outbox
from edge.uplink.backoff import STABLE_S, Backoff
from tests.edge.uplink.test_uplink import alarm, ingester, open_outbox, rows, running
from tocsin.broker import ChildBroker
from tocsin.contract import topics
from tocsin.contract.codec import decode_header
from tocsin.testing import FaultProxy, wait_until
from tocsin.testing.ingester import TestIngester


async def feed(outbox: Outbox, start: int, ended: asyncio.Event) -> int:
    """Ten rows every 20 ms until `ended`; the number of the next row."""
    while not ended.is_set():
        await outbox.put_rows_durable(rows(10, start))
        start += 10
        await asyncio.sleep(0.02)
    return start


def numbers(cloud: TestIngester, *, hist: bool) -> list[int]:
    """First numbers of telemetry as they came for the first time, live or as backlog."""
    found = dict.fromkeys(
        decode_header(payload).first_seq
        for topic, payload in cloud.received(topics.TELEMETRY)
        if topic.endswith("/hist") == hist
    )
    return list(found)


@pytest.mark.parametrize("cut_s", [1.0, pytest.param(60.0, marks=pytest.mark.release)])
async def test_a_cut_loses_nothing_and_what_waited_follows_what_is_new(
    mosquitto: ChildBroker, tmp_path: Path, cut_s: float
) -> None:
    with ingester(mosquitto.port) as cloud, FaultProxy(mosquitto.port) as proxy:
        async with (
            open_outbox(tmp_path) as outbox,
            running(outbox, proxy.port, backlog_bytes_per_s=20_000) as uplink,
        ):
            ended = asyncio.Event()
            feeding = asyncio.create_task(feed(outbox, 0, ended))
            await wait_until(lambda: uplink.connected and cloud.rows() > 100)
            await asyncio.to_thread(proxy.cut)
            await wait_until(lambda: not uplink.connected)
            lost_at = outbox.stats().rows
            await asyncio.sleep(cut_s)
            await outbox.put_alarms([alarm(1)])
            waiting, before = outbox.stats().rows, len(cloud.messages)
            await asyncio.to_thread(proxy.resume)
            await wait_until(lambda: uplink.connected)
            await wait_until(lambda: outbox.stats().pending_rows < 100, 300.0)
            ended.set()
            total = await feeding
            await wait_until(lambda: outbox.stats().pending_rows == 0)
        assert cloud.rows() == total
        (have,) = [r for r in cloud.ledger.values() if r.count > 1]
        assert list(have) == [(0, total)]
        assert cloud.changed == []
        live, backlog = numbers(cloud, hist=False), numbers(cloud, hist=True)
        assert live == sorted(live)
        assert backlog == sorted(backlog), "in order"
        assert set(range(lost_at + 10, waiting - 10, 10)) <= set(backlog), "what waited is flagged"
        arrived = [t for t, _ in cloud.messages[before:]]
        first_hist = next(i for i, t in enumerate(arrived) if t.endswith("/hist"))
        assert any("/up/alarm" in t for t in arrived[:first_hist]), "alarms before backlog"
        after = [t.endswith("/hist") for t in arrived[first_hist:] if "/up/telemetry" in t]
        assert False in after[: len(after) // 2], "live passes the backlog"


async def test_what_a_broker_confirmed_and_forgot_is_sent_again(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    with ingester(mosquitto.port) as cloud:
        async with open_outbox(tmp_path) as outbox, running(outbox, mosquitto.port) as uplink:
            await outbox.put_rows_durable(rows(10))
            await wait_until(lambda: cloud.rows() == 10 and not outbox.stats().pending_rows)
    async with open_outbox(tmp_path) as outbox, running(outbox, mosquitto.port) as uplink:
        await wait_until(lambda: uplink.connected)
        for start in range(10, 110, 10):  # the broker queues them for an ingester that is away
            await outbox.put_rows_durable(rows(10, start))
        await outbox.put_alarms([alarm(1)])
        await wait_until(lambda: uplink.counters["pubacks"] >= 11)
        assert outbox.stats().pending_rows == 100
        await asyncio.to_thread(mosquitto.kill9)
        await asyncio.to_thread(forget, mosquitto)
        await asyncio.to_thread(mosquitto.start)
        with ingester(mosquitto.port) as later:
            later.ledger = cloud.ledger
            await wait_until(lambda: outbox.stats().pending_rows == 0)
            await wait_until(lambda: outbox.stats().pending_alarms == 0)
            assert [list(have) for have in later.ledger.values()] == [[(0, 110)], [(0, 1)]]
            assert later.changed == []


def forget(broker: ChildBroker) -> None:
    """Its disk is lost: sessions, queued and retained messages."""
    database = broker.directory / "mosquitto.db"
    assert broker.pid == 0
    database.unlink(missing_ok=True)


def test_reconnects_have_full_jitter_and_start_anew_only_after_a_stable_session() -> None:
    for attempt, ceiling in enumerate((1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0)):
        picked = []
        for _ in range(400):
            backoff = Backoff()
            for _ in range(attempt):
                backoff.next_delay_s(STABLE_S - 1)
            picked.append(backoff.next_delay_s())
        assert 0 <= min(picked) < 0.1 * ceiling
        assert 0.9 * ceiling < max(picked) <= ceiling
        assert 0.4 * ceiling < sum(picked) / len(picked) < 0.6 * ceiling
    backoff = Backoff()
    for _ in range(8):
        backoff.next_delay_s()
    assert max(backoff.next_delay_s(STABLE_S) for _ in range(200)) <= 1.0
