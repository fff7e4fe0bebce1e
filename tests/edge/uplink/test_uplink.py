"""The uplink against our two real brokers and a test-side ingester."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trustme

from edge.options import OutboxOptions, UplinkOptions
from edge.outbox import Outbox
from edge.uplink import Uplink
from edge.uplink.backoff import Backoff
from tocsin.broker import Account, ChildBroker, Kind, ListenerTls
from tocsin.config import Secret
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.columns import Layout, Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import VERSION, AlarmChange, Command, CommitAck, Event, StreamAck
from tocsin.contract.ranges import RangeSet
from tocsin.contract.signing import sign
from tocsin.sdk import SystemClock
from tocsin.testing import INGESTER, FaultProxy, throwaway_broker, wait_until
from tocsin.testing.ingester import TestIngester

LAYOUT = Layout("gas-01", "gas", ("h2s", "o2"), "ff")
GW_1 = Account("gw-1", "gw-1-password")
T0 = 1_700_000_000_000_000_000


def rows(count: int, start: int = 0) -> list[Row]:
    return [Row(LAYOUT, T0 + i * 1_000_000, (i * 0.1, 20.9)) for i in range(start, start + count)]


def alarm(number: int, change: AlarmChange = AlarmChange.RAISED) -> AlarmDraft:
    return AlarmDraft(f"alarm-{number}", "gas-01", "gas", "h2s", "h2s-high", change, 1, T0 + number)


@asynccontextmanager
async def open_outbox(directory: Path, commit_rows: int = 10) -> AsyncIterator[Outbox]:
    outbox = await Outbox.open(
        directory,
        site="east",
        gateway="gw-1",
        clock=SystemClock(),
        options=OutboxOptions(commit_interval_ms=20, commit_rows=commit_rows, fsync="none"),
    )
    try:
        yield outbox
    finally:
        await outbox.aclose()


async def no_commands(command: Command) -> str:
    return f"did {command.kind}"


@asynccontextmanager
async def running(
    outbox: Outbox, port: int, log: logging.Logger | None = None, **options: object
) -> AsyncIterator[Uplink]:
    uplink = Uplink(
        UplinkOptions.model_validate(
            {
                "host": "127.0.0.1",
                "port": port,
                "password": Secret("gw-1-password"),
                "resend_after_s": 1.0,
                "keepalive_s": 5,
                "connect_timeout_s": 3,
                **options,
            }
        ),
        outbox,
        site="east",
        gateway="gw-1",
        clock=SystemClock(),
        on_command=no_commands,
        command_key=b"key",
        backoff=Backoff(0.1, 0.5),
        log=log,
    )
    task = asyncio.create_task(uplink.run(), name="uplink")
    try:
        yield uplink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def cloud(any_broker: ChildBroker) -> Iterator[TestIngester]:
    with ingester(any_broker.port) as found:
        yield found


def ingester(port: int, **kwargs: object) -> TestIngester:
    return TestIngester(
        port,
        INGESTER.user,
        INGESTER.password,
        site="east",
        gateway="gw-1",
        **kwargs,  # type: ignore[arg-type]
    )


async def test_rows_alarms_and_events_arrive_and_are_settled(
    any_broker: ChildBroker, cloud: TestIngester, tmp_path: Path
) -> None:
    async with open_outbox(tmp_path) as outbox, running(outbox, any_broker.port) as uplink:
        await wait_until(lambda: uplink.connected)
        assert uplink.protocol == ("5" if any_broker.kind == "mosquitto" else "3.1.1")
        await outbox.put_rows(rows(95))
        await outbox.put_alarms([alarm(1)])
        await outbox.put_event("agent.started", text="hello")
        await wait_until(lambda: outbox.stats().pending_rows == 0 and outbox.stats().rows == 95)
        await wait_until(lambda: cloud.rows(topics.ALARM) == 1 and cloud.rows(topics.EVENT) == 1)
        assert cloud.rows() == 95
        assert cloud.changed == []
        assert not any(t.endswith("/hist") for t, _ in cloud.messages)
        assert cloud.resumes
        assert cloud.states == [b"online"]
    await wait_until(lambda: cloud.states[-1] == b"offline")


async def test_backlog_follows_live_in_order_and_is_marked(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    async with open_outbox(tmp_path) as outbox:
        await outbox.put_rows_durable(rows(1_000))
        await outbox.put_alarms([alarm(1)])
        with ingester(mosquitto.port) as cloud:
            async with running(outbox, mosquitto.port, backlog_bytes_per_s=8_000) as uplink:
                await wait_until(lambda: uplink.connected and cloud.rows(topics.ALARM) == 1)
                await outbox.put_rows_durable(rows(10, 1_000))
                await wait_until(lambda: cloud.rows() == 1_010)
            hist = [t.endswith("/hist") for t, _ in cloud.received(topics.TELEMETRY)]
            assert hist.count(False) == 1
            assert hist.index(False) < len(hist) - 1, "live had to wait for the backlog"
            firsts = [
                decode_header(p).first_seq
                for t, p in cloud.received(topics.TELEMETRY)
                if t.endswith("/hist")
            ]
            assert firsts == sorted(firsts)
            assert not any(t.endswith("/hist") for t, _ in cloud.received(topics.ALARM))


async def test_what_is_not_committed_is_sent_again_unchanged(
    any_broker: ChildBroker, tmp_path: Path
) -> None:
    with ingester(any_broker.port) as cloud:
        cloud.acking = False
        async with (
            open_outbox(tmp_path) as outbox,
            running(outbox, any_broker.port, resend_after_s=0.2) as uplink,
        ):
            await wait_until(lambda: uplink.connected)
            await outbox.put_rows_durable(rows(20))
            await wait_until(lambda: cloud.duplicates >= 2)
            assert outbox.stats().pending_rows == 20
            assert uplink.counters["resent"] >= 2
            assert cloud.changed == []
            cloud.acking = True
            await wait_until(lambda: outbox.stats().pending_rows == 0)


async def test_the_window_is_never_exceeded_and_alarms_still_pass(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    window = 1 << 14
    with ingester(mosquitto.port) as cloud:
        cloud.acking = False
        async with (
            open_outbox(tmp_path) as outbox,
            running(outbox, mosquitto.port, window_bytes=window, resend_after_s=600) as uplink,
        ):
            await wait_until(lambda: uplink.connected)
            for start in range(0, 5_000, 10):
                await outbox.put_rows_durable(rows(10, start))
            await outbox.put_alarms([alarm(1)])
            await wait_until(lambda: cloud.rows(topics.ALARM) == 1)
            sent = sum(len(p) for _, p in cloud.messages)
            assert window // 2 < sent <= window
            cloud.acking = True
            cloud.ack_now()
            await wait_until(lambda: outbox.stats().pending_rows == 0, 60.0)
            assert cloud.rows() == 5_000


async def test_acks_of_ranges_out_of_order_and_from_several_ingesters_are_united(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    with ingester(mosquitto.port) as cloud:
        cloud.acking = False
        async with open_outbox(tmp_path) as outbox, running(outbox, mosquitto.port) as uplink:
            await wait_until(lambda: uplink.connected)
            await outbox.put_rows_durable(rows(40))
            await wait_until(lambda: cloud.rows() == 40)
            stream = next(iter(cloud.ledger))
            for have in (
                StreamAck(0, ranges=[(30, 40)]),
                StreamAck(0, ranges=[(10, 20), (30, 40)], rejected=[(10, 20)]),
                StreamAck(0, ranges=[(10, 40)], rejected=[(10, 20)]),
            ):
                cloud.publish_ack(CommitAck(VERSION, "ingest-0", {stream: have}))
            await wait_until(lambda: outbox.stats().pending_rows == 10)
            cloud.name = "ingest-1"
            cloud.publish_ack(CommitAck(VERSION, "ingest-1", {stream: StreamAck(10)}))
            await wait_until(lambda: outbox.stats().pending_rows == 0)


async def test_a_cloud_restored_from_a_backup_gets_again_what_it_lost(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    async with open_outbox(tmp_path) as outbox:
        with ingester(mosquitto.port) as cloud:
            async with running(outbox, mosquitto.port) as uplink:
                await wait_until(lambda: uplink.connected)
                for start in range(0, 100, 10):
                    await outbox.put_rows_durable(rows(10, start))
                await wait_until(lambda: outbox.stats().pending_rows == 0)
        with ingester(mosquitto.port) as restored:  # of the same name, with an empty ledger
            restored.ledger = {stream: RangeSet() for stream in cloud.ledger}
            async with running(outbox, mosquitto.port):
                await wait_until(lambda: restored.rows() == 100)
                await wait_until(lambda: outbox.stats().pending_rows == 0)
            assert restored.payloads.items() >= cloud.payloads.items(), "the same bytes"
            assert outbox.taken_back >= 100


async def test_three_broker_kills_under_load_lose_nothing(
    any_broker: ChildBroker, tmp_path: Path
) -> None:
    total = 6_000
    with ingester(any_broker.port) as cloud:
        async with open_outbox(tmp_path) as outbox, running(outbox, any_broker.port) as uplink:

            async def load() -> None:
                for start in range(0, total, 10):
                    await outbox.put_rows(rows(10, start))
                    await asyncio.sleep(0.005)

            feeding = asyncio.create_task(load())
            for third in (1, 2, 3):
                await wait_until(
                    lambda third=third: uplink.connected and outbox.stats().rows > third * 1_000
                )
                await asyncio.to_thread(any_broker.kill9)
                await wait_until(lambda: not uplink.connected)
                await asyncio.to_thread(any_broker.start)
            await feeding
            await wait_until(lambda: cloud.rows() == total, 60.0)
            await wait_until(lambda: outbox.stats().pending_rows == 0, 60.0)
            assert cloud.changed == []
            assert uplink.counters["connects"] >= 4


async def test_a_broken_link_is_noticed_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(fault: str) -> None:
        log = logging.getLogger(f"test.{fault}")
        with (
            throwaway_broker("mosquitto", accounts=[GW_1]) as broker,
            ingester(broker.port) as cloud,
            FaultProxy(broker.port) as proxy,
        ):
            async with (
                open_outbox(tmp_path / fault) as outbox,
                running(outbox, proxy.port, log) as uplink,
            ):
                await wait_until(lambda: uplink.connected)
                await outbox.put_rows_durable(rows(20))
                await wait_until(lambda: cloud.rows() == 20)
                await asyncio.to_thread(getattr(proxy, fault))
                await outbox.put_rows_durable(rows(20, 20))
                await wait_until(lambda: not uplink.connected, 60.0)
                assert uplink.last_error
                assert outbox.stats().pending_rows >= 20
                await asyncio.to_thread(proxy.resume)
                await wait_until(lambda: uplink.connected, 60.0)
                await wait_until(lambda: cloud.rows() == 40 and outbox.stats().pending_rows == 0)
        said = [r.getMessage() for r in caplog.records if r.name == log.name]
        assert sum("no uplink" in line for line in said) == 1
        assert sum("is back" in line for line in said) == 1

    async with asyncio.TaskGroup() as at_once:  # each waits for the keep-alive to run out
        for fault in ("cut", "stall", "half_open"):
            at_once.create_task(breaks(fault), name=fault)


async def test_a_wrong_password_is_said_once_with_what_to_do(
    any_broker: ChildBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        open_outbox(tmp_path) as outbox,
        running(outbox, any_broker.port, password=Secret("wrong")) as uplink,
    ):
        await wait_until(lambda: uplink.counters["connect_failures"] >= 2)
        assert "uthori" in uplink.last_error
    assert sum("uplink.password" in r.getMessage() for r in caplog.records) == 1
    assert "wrong" not in caplog.text


def command(name: str, **changes: object) -> Command:
    now = SystemClock().now_ns()
    fields: dict[str, object] = {
        "v": 1, "id": name, "site": "east", "gateway": "gw-1", "kind": "alarm.acknowledge",
        "actor": "li", "issued_ns": now, "expires_ns": now + 60_000_000_000, **changes,
    }  # fmt: skip
    return sign(msgspec.convert(fields, Command), b"key")


async def test_a_command_never_runs_again_after_a_restart(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    order = command("c1")
    with ingester(mosquitto.port) as cloud:
        for run in (1, 2):
            async with open_outbox(tmp_path) as outbox, running(outbox, mosquitto.port) as uplink:
                await wait_until(lambda up=uplink: up.connected)
                cloud.command(order)
                await wait_until(lambda run=run: cloud.rows(topics.EVENT) == run)
    heard = [decode_body(decode_header(p), p, Event) for _, p in cloud.received(topics.EVENT)]
    events = {event.seq: (event.kind, event.data.get("reason")) for event in heard}
    assert events == {0: ("command.done", None), 1: ("command.refused", "duplicate")}


async def test_commands_are_carried_out_once_and_refusals_are_journalled(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    with ingester(mosquitto.port) as cloud:
        async with open_outbox(tmp_path) as outbox, running(outbox, mosquitto.port) as uplink:
            await wait_until(lambda: uplink.connected)
            cloud.command(command("c1"))
            cloud.command(command("c1"))
            cloud.command(command("c2", expires_ns=SystemClock().now_ns() - 1))
            cloud.command(command("c3", gateway="gw-2"))
            cloud.command(msgspec.structs.replace(command("c4"), actor="mallory"))
            cloud.command(b"{}")
            await wait_until(lambda: cloud.rows(topics.EVENT) == 6)
    events = [decode_body(decode_header(p), p, Event) for _, p in cloud.received(topics.EVENT)]
    found = [(e.kind, e.data.get("id"), e.data.get("reason")) for e in events]
    assert found[:5] == [
        ("command.done", "c1", None),
        ("command.refused", "c1", "duplicate"),
        ("command.refused", "c2", "expired"),
        ("command.refused", "c3", "not-for-us"),
        ("command.refused", "c4", "bad-signature"),
    ]
    assert found[5][0] == "command.refused"


# paho leaves the socket of a failed handshake to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
async def test_tls_is_verified_always(kind: Kind, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    client = authority.issue_cert("gw-1")
    files = {
        name: tmp_path / f"{name}.pem" for name in ("ca", "other", "cert", "key", "ccert", "ckey")
    }
    authority.cert_pem.write_to_path(str(files["ca"]))
    stranger.cert_pem.write_to_path(str(files["other"]))
    server.cert_chain_pems[0].write_to_path(str(files["cert"]))
    server.private_key_pem.write_to_path(str(files["key"]))
    client.cert_chain_pems[0].write_to_path(str(files["ccert"]))
    client.private_key_pem.write_to_path(str(files["ckey"]))
    listener = ListenerTls(files["cert"], files["key"], client_ca=files["ca"])
    ours = {"cert": files["ccert"], "key": files["ckey"]}
    with throwaway_broker(kind, accounts=[GW_1], tls=listener) as broker:
        async with open_outbox(tmp_path / "outbox") as outbox:
            for tls in ({"ca": files["other"], **ours}, ours):
                async with running(outbox, broker.port, tls=tls) as uplink:
                    await wait_until(lambda up=uplink: up.counters["connect_failures"] >= 1)
                    assert "certificate" in uplink.last_error
            async with running(outbox, broker.port, tls={"ca": files["ca"]}) as uplink:
                await wait_until(lambda up=uplink: up.counters["connect_failures"] >= 1)
            async with running(outbox, broker.port, tls={"ca": files["ca"], **ours}) as uplink:
                await wait_until(lambda up=uplink: up.connected)
    gc.collect()
