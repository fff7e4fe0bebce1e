"""The log on a real nats-server: what it takes, knows again, refuses when full, and hands out until it is acknowledged."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.suspects import DEADLY
from cloud.ingest.worker import SUSPECT
from cloud.link import Handover, Received
from cloud.log import LogOptions
from cloud.log.connection import takes_messages
from cloud.log.sink import JetStreamSink
from cloud.log.source import JetStreamSource
from cloud.log.subjects import lane_of, lanes_of, message_id
from cloud.rpc import call_once
from tests.cloud.growth.city import ROWS, SITE, City
from tests.cloud.growth.nats_cluster import NatsCluster
from tocsin.contract import topics
from tocsin.contract.codec import MAX_MESSAGE_BYTES, encode
from tocsin.contract.columns import Layout, Row, group_rows
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, Batch, Resume, StreamState
from tocsin.errors import LogUnavailableError
from tocsin.testing import wait_until, wait_until_sync
from tocsin.testing.gateway import WireGateway

LOG = logging.getLogger("log")
TOPIC = topics.up("plant", "gw-1", topics.TELEMETRY)
STREAM = ulid(time.time_ns())


def sealed(seq: int) -> bytes:
    t0, unit, groups = group_rows([Row(Layout("gas-01", "gas", ("h2s",), "f"), 10**9, (1.0,))])
    return encode(Batch(VERSION, "plant", "gw-1", STREAM, seq, t0, groups, unit))


def message(payload: bytes) -> Received:
    return Received(TOPIC, payload, 123, 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with NatsCluster(tmp_path_factory.mktemp("nats"), n=1) as running:
        yield running


def options(server: NatsCluster, name: str, **more: Any) -> LogOptions:
    given: dict[str, Any] = {
        "lanes": 2,
        "replicas": 1,
        "ack_wait_s": 1.0,
        "max_bytes": 32 << 20,
        "stream": name,
        **more,
    }
    return LogOptions(tuple(server.urls), "test", **given)


@asynccontextmanager
async def sink_of(told: LogOptions) -> AsyncIterator[JetStreamSink]:
    sink = JetStreamSink(told, LOG)
    try:
        yield sink
    finally:
        await sink.aclose()


@asynccontextmanager
async def source_of(told: LogOptions, handover: Handover) -> AsyncIterator[JetStreamSource]:
    source = JetStreamSource(told, [0, 1], handover, LOG)
    source.start()
    try:
        yield source
    finally:
        await source.aclose()


async def taken(handover: Handover, n: int = 1) -> list[Received]:
    found: list[Received] = []

    def enough() -> bool:
        got = handover.take(0.0)
        handover.release(sum(m.cost for m in got))
        found.extend(got)
        return len(found) >= n

    await wait_until(enough, 30.0, f"{n} messages")
    return found


async def test_a_message_arrives_as_it_was_and_again_until_it_is_acknowledged(
    server: NatsCluster,
) -> None:
    told = options(server, "again")
    async with sink_of(told) as sink:
        await sink.keep(message(sealed(0)))
    handover = Handover(1 << 20)
    async with source_of(told, handover):
        (first,) = await taken(handover)
        assert (first.topic, first.payload, first.received_ns) == (TOPIC, sealed(0), 123)
        assert first.deliveries == 1
    handover = Handover(1 << 20)
    async with source_of(told, handover) as source:  # the first was killed, to the stream
        (second,) = await taken(handover)
        assert second.payload == sealed(0)
        assert second.deliveries > 1
        source.ack(second)
        await wait_until(lambda: not source.in_hand, 30.0, "an empty hand")
    async with nats_stream(server, "again") as info:
        await wait_until(lambda: info()["messages"] == 0, 30.0, "an empty stream")


@asynccontextmanager
async def nats_stream(
    server: NatsCluster, name: str
) -> AsyncIterator[Callable[[], dict[str, int]]]:
    """The newest state of a stream, asked of the server by its own client."""
    client = await nats.connect(server.urls)
    newest = {"messages": -1}

    async def look() -> None:
        while True:
            newest["messages"] = (await client.jetstream().stream_info(name)).state.messages
            await asyncio.sleep(0.05)

    task = asyncio.create_task(look())
    try:
        yield lambda: newest
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def test_a_message_in_hand_is_held_longer_than_the_wait_and_handed_out_once(
    server: NatsCluster,
) -> None:
    told = options(server, "held")
    handover = Handover(1 << 20)
    async with sink_of(told) as sink, source_of(told, handover) as source:
        await sink.keep(message(sealed(0)))
        (held,) = await taken(handover)
        await asyncio.sleep(2.5)  # the wait is 1 s
        assert handover.take(0.0) == []
        assert source.redelivered == 0
        source.ack(held)


async def test_a_repeat_is_known_by_gateway_stream_and_number_but_only_if_it_is_sound(
    server: NatsCluster,
) -> None:
    told = options(server, "repeats")
    broken = sealed(2)[:-1] + b"?"
    async with sink_of(told) as sink:
        for payload in (sealed(0), sealed(0), sealed(1), broken, sealed(2), b"rubbish", b"rubbish"):
            await sink.keep(message(payload))
        assert sink.repeats == 1
    async with nats_stream(server, "repeats") as info:
        await wait_until(lambda: info()["messages"] == 6, 30.0, "six messages")


async def test_a_repeat_of_what_the_log_no_longer_holds_is_kept_again(server: NatsCluster) -> None:
    told = options(server, "gone")
    handover = Handover(1 << 20)
    async with sink_of(told) as sink, source_of(told, handover) as source:
        for _ in range(2):  # within the window; an ingester let it go without settling it
            await sink.keep(message(sealed(0)))
            (got,) = await taken(handover)
            source.ack(got)
            await wait_until(lambda: not source.in_hand, 30.0, "an empty hand")


async def test_a_full_log_refuses_and_drops_nothing(
    server: NatsCluster, caplog: pytest.LogCaptureFixture
) -> None:
    told = options(server, "full", max_bytes=1 << 20)
    kept = 0
    handover = Handover(8 << 20)

    async def fill(sink: JetStreamSink) -> None:
        nonlocal kept
        for _ in range(100):
            await sink.keep(message(b"%3d" % kept + bytes(100_000)))
            kept += 1

    async with sink_of(told) as sink:
        with pytest.raises(LogUnavailableError) as caught:
            await fill(sink)
        assert "full" in caught.value.message
        assert "log.max_bytes" in caught.value.hint
        assert 5 < kept < 11
        with pytest.raises(LogUnavailableError):
            await sink.keep(message(bytes(100_000)))
        async with source_of(told, handover) as source:
            got = await taken(handover, kept)
            assert [m.payload[:3] for m in got] == [b"%3d" % n for n in range(kept)]
            for one in got:
                source.ack(one)
            await wait_until(lambda: not source.in_hand, 30.0, "room")
            await sink.keep(message(b"more"))
            assert (await taken(handover))[0].payload == b"more"
    assert caplog.text.count("the log is full") == 1


async def test_the_largest_message_passes_and_a_larger_one_is_still_too_large_behind_it(
    server: NatsCluster,
) -> None:
    told = options(server, "large")
    handover = Handover(8 << 20)
    async with sink_of(told) as sink, source_of(told, handover):
        await sink.keep(message(bytes(MAX_MESSAGE_BYTES)))
        await sink.keep(message(bytes(MAX_MESSAGE_BYTES * 3)))
        sizes = [len(m.payload) for m in await taken(handover, 2)]
    assert sizes == [MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1]


async def test_a_changed_limit_counts_for_a_stream_that_is_there(server: NatsCluster) -> None:
    for most in (1 << 20, 2 << 20):
        async with sink_of(options(server, "changed", max_bytes=most)) as sink:
            await sink.keep(message(b"x"))
    client = await nats.connect(server.urls)
    found = (await client.jetstream().stream_info("changed")).config.max_bytes
    await client.close()
    assert found == 2 << 20


async def test_servers_that_take_only_small_messages_are_refused_at_once(tmp_path: Path) -> None:
    with NatsCluster(tmp_path, n=1, max_payload="1MB") as small:
        async with sink_of(options(small, "small")) as sink:
            with pytest.raises(LogUnavailableError, match="max_payload"):
                await sink.keep(message(b"x"))


async def test_a_log_that_is_back_says_so_without_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with NatsCluster(tmp_path, n=1) as running:
        told = options(running, "back")
        handover = Handover(1 << 20)
        async with sink_of(told) as sink, source_of(told, handover) as source:
            await sink.keep(message(sealed(0)))
            watch = asyncio.create_task(sink.connection.watch())
            both = sink.connection, source.connection
            running.kill9(0)
            with pytest.raises(LogUnavailableError):
                await sink.keep(message(sealed(1)))
            await wait_until(lambda: all(c.unavailable for c in both), 30.0, "a word of both")
            running.start(0)
            await wait_until(lambda: not any(c.unavailable for c in both), 30.0, "it is back")
            assert not watch.done()
            watch.cancel()
    said = [r.message for r in caplog.records if r.name == "log" and "the log is" in r.message]
    assert sorted(line.split(":")[0] for line in said) == [
        "the log is back", "the log is back", "the log is unavailable", "the log is unavailable"
    ]  # fmt: skip


async def test_a_full_log_is_not_back_before_there_is_room(server: NatsCluster) -> None:
    told = options(server, "narrow", max_bytes=3 << 20)
    handover = Handover(8 << 20)
    async with sink_of(told) as sink:

        async def fill() -> None:
            for n in range(40):
                await sink.keep(message(b"%3d" % n + bytes(100_000)))

        with pytest.raises(LogUnavailableError, match="full"):
            await fill()
        _, js = await sink.connection.ready()

        async def roomy() -> bool:
            return takes_messages(await js.stream_info("narrow"), told.max_bytes)

        assert not await roomy()
        async with source_of(told, handover) as source:
            for one in await taken(handover, 20):
                source.ack(one)
            await wait_until(roomy, 30.0, "room")


def test_what_is_logged_is_told_from_what_is_stored_and_is_no_dead_letter_however_often_it_is_handed_out(
    influxd: str, server: NatsCluster, tmp_path: Path
) -> None:
    log = server.log_table(more='stream = "again"')
    with City(tmp_path, influxd, resend_after_s=3600.0) as city:
        city.node("forward-1", "forward", log)
        for gateway in city.gateways:
            city.put(gateway)
            streams = [StreamState(topics.TELEMETRY, gateway.stream, 0, gateway.rows)]
            resume = Resume(VERSION, SITE, gateway.gateway, streams)
            topic = topics.up(SITE, gateway.gateway, topics.RESUME)
            for _ in range(2):  # what a gateway names once more is no longer merely on its way
                gateway.publish(topic, msgspec.json.encode(resume))
        logged = [(0, ROWS, "logged")]
        wait_until_sync(
            lambda: all(_gaps(city, g) == logged for g in city.gateways), 60.0, "logged"
        )
        asyncio.run(_hand_out(server, "again", "ingest-1", 11 * len(city.gateways)))
        ingester = city.node("ingest-1", "ingest", log)
        city.nothing_lost_or_doubled()
        wait_until_sync(lambda: not any(_gaps(city, g) for g in city.gateways), 30.0, "no gap")
        wait_until_sync(lambda: not ingester.counters()["log_in_hand"], 30.0, "an empty hand")
        assert city.cloud.call("deadletters") == []


def test_a_message_of_which_ingesters_die_is_a_dead_letter_and_the_others_are_stored(
    influxd: str, server: NatsCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = server.log_table(more='stream = "poison"')
    with City(tmp_path, influxd, resend_after_s=3600.0) as city:
        city.node("forward-1", "forward", log)
        city.gateways[0].publish(topics.up("plant", "gw-1", topics.TELEMETRY), b"poison")
        asyncio.run(_hand_out(server, "poison", "ingest-1", SUSPECT))
        for gateway in city.gateways:
            city.put(gateway)
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "poisoned_ingester"))
        ingester = city.prepared("ingest-1", "ingest", log)
        for _ in range(DEADLY):
            ingester.launch()
            assert ingester.process.wait(60.0) == -signal.SIGKILL
        ingester.start()
        city.nothing_lost_or_doubled()
        wait_until_sync(lambda: bool(city.cloud.call("deadletters")), 30.0, "a letter")
        (letter,) = city.cloud.call("deadletters")
        assert letter["reason"] == "undigestible"
        wait_until_sync(lambda: not ingester.counters()["log_in_hand"], 30.0, "an empty hand")


def _gaps(city: City, gateway: WireGateway) -> list[tuple[int, int, str]]:
    """What the cloud's audit says of a gateway."""
    told: Any = call_once(city.cloud.data / "spine.sock", "audit", gateway=gateway.gateway)
    return [(g["lo"], g["hi"], g["reason"]) for s in told["streams"] for g in s["gaps"]]


async def _hand_out(server: NatsCluster, stream: str, consumer: str, times: int) -> None:
    """Take and give back the first message of a lane, as one does that dies of it each time."""
    client = await nats.connect(server.urls)
    js = client.jetstream()
    lane = lane_of(topics.up("plant", "gw-1", topics.TELEMETRY), 2)
    await js.add_consumer(
        stream, durable_name=f"ingest-{lane}", filter_subject=f"{stream}.{lane}",
        ack_policy=nats.js.api.AckPolicy.EXPLICIT, ack_wait=2, max_ack_pending=2000,
    )  # fmt: skip
    bound = await js.pull_subscribe_bind(f"ingest-{lane}", stream=stream)
    for _ in range(times):
        (msg,) = await bound.fetch(1, timeout=30)
        await msg.nak()
    await client.close()


@given(st.from_regex(r"[a-z][a-z0-9.-]{0,20}[a-z0-9]", fullmatch=True), st.sampled_from([1, 2, 16, 64]))  # fmt: skip
def test_every_gateway_has_one_lane_and_its_owner_by_buckets_pulls_from_it(
    gateway: str, lanes: int
) -> None:
    topic = topics.up("plant", gateway, topics.TELEMETRY)
    lane = lane_of(topic, lanes)
    assert lane in lanes_of(None, lanes)
    width = 64 // lanes
    mine = range(lane * width, (lane + 1) * width)
    assert topics.bucket(gateway) in mine
    assert lanes_of(mine, lanes) == [lane]
    assert lane not in lanes_of(set(range(64)) - set(mine), lanes)


def test_a_lane_belongs_to_an_ingester_whole_or_not_at_all() -> None:
    assert lanes_of([], 4) == []
    with pytest.raises(ValueError, match="buckets 16-31"):
        lanes_of(range(20), 4)


def test_the_name_of_a_message_is_that_of_its_numbers() -> None:
    assert message_id(TOPIC, sealed(7)) == f"gw-1:{STREAM}:7"
    assert message_id(TOPIC, sealed(7)[:-2]) is None
    assert message_id(TOPIC, b"") is None
