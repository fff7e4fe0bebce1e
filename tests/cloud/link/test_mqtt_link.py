"""The cloud's MQTT session on real brokers: versions, TLS, a full hand-over, acknowledgements that came too late."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import trustme

from cloud.link import Handover, LinkOptions, MqttLink, Protocol, Received
from cloud.link.handover import ALARM_RESERVE, URGENT_RESERVE
from tocsin.broker import Account, ChildBroker, Kind, ListenerTls
from tocsin.contract import topics
from tocsin.sdk import SystemClock
from tocsin.testing import INGESTER, FaultProxy, throwaway_broker, wait_until_sync
from tocsin.testing.peer import Peer

GATEWAY = Account("gw-1", "gw-1-password")
TELEMETRY = topics.up("plant", "gw-1", topics.TELEMETRY)


@contextmanager
def linked(port: int, handover: Handover, **more: Any) -> Iterator[MqttLink]:
    options = LinkOptions(
        "127.0.0.1", port, INGESTER.user, INGESTER.user, INGESTER.password, **more
    )
    link = MqttLink(options, handover, SystemClock(), logging.getLogger("link"), lambda: None)
    link.start()
    try:
        yield link
    finally:
        link.close()


def subscribe_all(link: MqttLink, peer: Peer) -> None:
    """Until the broker has read what the link sent before, its subscriptions first; `peer` gets what goes down."""
    wait_until_sync(lambda: link.connected, 30.0, "a session")
    assert peer.subscribe(topics.down_filter("plant", "gw-1"))
    assert link.publish(topics.down_ack("plant", "gw-1", INGESTER.user), b"")
    wait_until_sync(lambda: peer.got, 30.0, "the broker to read it")
    peer.got.clear()


@contextmanager
def gateway(broker: ChildBroker) -> Iterator[Peer]:
    peer = Peer(broker.port, GATEWAY.user, GATEWAY.password)
    assert peer.connect()
    try:
        yield peer
    finally:
        peer.close()


def taken(handover: Handover, n: int) -> list[Received]:
    """Wait for n messages, nothing acknowledged."""
    found: list[Received] = []

    def enough() -> bool:
        got = handover.take(0.1)
        handover.release(sum(m.cost for m in got))
        found.extend(got)
        return len(found) >= n

    wait_until_sync(enough, 30.0, f"{n} messages")
    return found


@pytest.mark.parametrize(
    ("kind", "protocol", "spoken"),
    [
        ("mosquitto", "auto", "5"),
        ("mosquitto", "5", "5"),
        ("mosquitto", "3.1.1", "3.1.1"),
        ("amqtt", "auto", "3.1.1"),
        ("amqtt", "3.1.1", "3.1.1"),
    ],
)
def test_each_version_carries_messages_up_and_down(kind: str, protocol: str, spoken: str) -> None:
    handover = Handover(1 << 20)
    with (
        throwaway_broker(cast("Kind", kind), accounts=[GATEWAY]) as broker,
        linked(broker.port, handover, protocol=cast("Protocol", protocol)) as link,
    ):
        wait_until_sync(lambda: link.connected, 30.0, "a session")
        assert link.protocol == spoken
        with gateway(broker) as peer:
            subscribe_all(link, peer)
            peer.publish(TELEMETRY, b"up")
            (message,) = taken(handover, 1)
            assert (message.topic, message.payload) == (TELEMETRY, b"up")
            link.ack(message)
            assert link.publish(topics.down_ack("plant", "gw-1", INGESTER.user), b"down")
            wait_until_sync(lambda: peer.got, 30.0, "the message down")
            assert peer.got[0][1] == b"down"


def test_a_broker_without_mqtt_5_asked_in_nothing_else_is_said_to_be_unavailable(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.link.mqtt.CONNECT_TIMEOUT_S", 0.5)
    with (
        throwaway_broker("amqtt") as broker,
        linked(broker.port, Handover(1 << 20), protocol="5") as link,
    ):
        wait_until_sync(lambda: "unavailable" in caplog.text, 30.0, "a word")
        assert not link.connected


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_a_broker_is_believed_only_with_a_certificate_of_our_authority(
    kind: Kind, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = certificates(tmp_path)
    listener = ListenerTls(files["cert"], files["key"])
    with throwaway_broker(kind, accounts=[GATEWAY], tls=listener) as broker:
        for wrong in ({"ca": files["stranger"]}, {}):
            caplog.clear()
            with linked(broker.port, Handover(1 << 20), tls=True, **wrong) as link:
                wait_until_sync(lambda: "certificate" in caplog.text, 30.0, "a word of it")
                assert not link.connects
        with linked(broker.port, Handover(1 << 20), tls=True, ca=files["ca"]) as link:
            wait_until_sync(partial(_is_connected, link), 30.0, "a verified session")
    gc.collect()


def test_a_certificate_of_another_host_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = certificates(tmp_path, host="broker.example")
    with (
        throwaway_broker("mosquitto", tls=ListenerTls(files["cert"], files["key"])) as broker,
        linked(broker.port, Handover(1 << 20), tls=True, ca=files["ca"]) as link,
    ):
        wait_until_sync(lambda: "certificate" in caplog.text, 30.0, "a word of it")
        assert not link.connects
    gc.collect()


def _is_connected(link: MqttLink) -> bool:
    return link.connected


def certificates(folder: Path, host: str = "127.0.0.1") -> dict[str, Path]:
    authority = trustme.CA()
    server = authority.issue_cert(host)
    files = {name: folder / f"{name}.pem" for name in ("ca", "stranger", "cert", "key")}
    authority.cert_pem.write_to_path(str(files["ca"]))
    trustme.CA().cert_pem.write_to_path(str(files["stranger"]))
    server.cert_chain_pems[0].write_to_path(str(files["cert"]))
    server.private_key_pem.write_to_path(str(files["key"]))
    return files


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_stalled_ingest_thread_costs_no_message_no_memory_and_no_connection(
    protocol: Protocol,
) -> None:
    limit, n = 256 << 10, 300
    handover = Handover(limit)
    payloads = {b"%05d" % i + bytes(4096) for i in range(n)}
    stored: set[bytes] = set()
    go, stop, peak = threading.Event(), threading.Event(), [0]

    def ingest() -> None:
        while not stop.is_set():
            if not go.wait(0.05):
                continue
            for message in handover.take(0.05):
                peak[0] = max(peak[0], handover.waiting_bytes)
                stored.add(message.payload)
                link.ack(message)
                handover.release(message.cost)

    with (
        throwaway_broker("mosquitto", accounts=[GATEWAY]) as broker,
        linked(broker.port, handover, protocol=protocol, keepalive_s=1) as link,
    ):
        thread = threading.Thread(target=ingest)
        thread.start()
        with gateway(broker) as peer:
            subscribe_all(link, peer)
            for payload in payloads:
                peer.publish(TELEMETRY, payload)
            wait_until_sync(lambda: handover.overflows, 30.0, "a full hand-over")
            threading.Event().wait(4.0)  # the broker hangs up after 1.5 s without a word
            assert (link.connected, link.connects) == (True, 1)
            assert handover.waiting_bytes <= limit
            go.set()
            wait_until_sync(lambda: stored == payloads, 60.0, "every message")
        stop.set()
        thread.join()
    assert peak[0] <= limit + URGENT_RESERVE + ALARM_RESERVE
    assert handover.waiting_bytes == 0


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_an_acknowledgement_for_a_connection_that_is_gone_is_never_sent(kind: Kind) -> None:
    handover = Handover(1 << 20)
    with throwaway_broker(kind, accounts=[GATEWAY]) as broker, FaultProxy(broker.port) as proxy:
        protocol = "5" if kind == "mosquitto" else "3.1.1"
        with (
            linked(proxy.port, handover, protocol=protocol) as link,
            gateway(broker) as peer,
        ):
            subscribe_all(link, peer)
            peer.publish(TELEMETRY, b"one")
            (first,) = taken(handover, 1)
            again(proxy, link)
            if kind == "mosquitto":  # amqtt forgets what was in flight; the gateway sends it again
                (second,) = taken(handover, 1)
                assert second.payload == b"one"
                assert second.generation > first.generation
            else:
                peer.publish(TELEMETRY, b"two")
                (second,) = taken(handover, 1)
            wait_until_sync(partial(still, proxy), 30.0, "the new session's subscriptions")
            up = proxy.bytes_up
            link.ack(first)
            threading.Event().wait(0.3)
            assert proxy.bytes_up == up
            link.ack(second)
            wait_until_sync(lambda: proxy.bytes_up > up, 30.0, "the acknowledgement")


def still(proxy: FaultProxy) -> bool:
    """Whether the link has nothing to say for a moment."""
    before = proxy.bytes_up
    threading.Event().wait(0.3)
    return proxy.bytes_up == before


def again(proxy: FaultProxy, link: MqttLink) -> None:
    before = link.connects
    proxy.cut()
    wait_until_sync(lambda: not link.connected, 30.0, "the end of the session")
    proxy.resume()
    wait_until_sync(lambda: link.connects > before and link.connected, 30.0, "a new session")


def test_a_session_is_cleared_of_what_its_configuration_no_longer_names() -> None:
    number = topics.bucket(GATEWAY.user)
    telemetry = topics.telemetry_filters([number])
    resume = topics.resume_filters([number])
    with (
        throwaway_broker("mosquitto", accounts=[GATEWAY]) as broker,
        gateway(broker) as peer,
    ):
        for before in (topics.cloud_filters(), telemetry, topics.cloud_filters([number])):
            with linked(broker.port, Handover(1 << 20), filters=before) as link:
                wait_until_sync(partial(_is_connected, link), 30.0, "a session")
            handover = Handover(1 << 20)
            with linked(broker.port, handover, filters=resume) as link:
                subscribe_all(link, peer)
                peer.publish(TELEMETRY, b"of another")
                peer.publish(topics.up("plant", "gw-1", topics.RESUME), mine := before[0].encode())
                got: list[bytes] = []
                while mine not in got:  # those before it may come again
                    got += [m.payload for m in taken(handover, 1)]
                assert b"of another" not in got


def test_values_told_by_an_ingester_go_past_the_ingest_thread_and_hold_no_place() -> None:
    told: list[tuple[str, bytes]] = []
    options = LinkOptions("127.0.0.1", 0, "x", INGESTER.user, INGESTER.password, window_messages=16)
    with throwaway_broker("mosquitto", accounts=[GATEWAY]) as broker:
        handover = Handover(1 << 20)
        log = logging.getLogger("link")
        link = MqttLink(
            replace(options, port=broker.port), handover, SystemClock(), log, lambda: None, on_told=lambda topic, payload: told.append((topic, payload))
        )  # fmt: skip
        link.start()
        try:
            wait_until_sync(lambda: link.connected, 30.0, "a session")
            topic = topics.told_by("ingest-1")
            wait_until_sync(lambda: link.publish(topic, b"rows", 0) and told, 30.0, "rows")
            for n in range(40):  # more than may wait for their acknowledgement
                assert link.publish(topic, b"%d" % n)
            wait_until_sync(lambda: (topic, b"39") in told, 30.0, "the last of them")
        finally:
            link.close()
        assert [payload for _, payload in told if payload != b"rows"] == [
            b"%d" % n for n in range(40)
        ]
        assert {name for name, _ in told} == {topic}
        assert handover.take(0.0) == []


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_more_messages_than_a_broker_takes_at_once_all_arrive_in_order(kind: Kind) -> None:
    down = topics.down_ack("plant", "gw-1", INGESTER.user)
    sent = [b"%d" % n for n in range(1000)]
    with (
        throwaway_broker(kind, accounts=[GATEWAY]) as broker,
        gateway(broker) as peer,
        linked(broker.port, Handover(1 << 20)) as link,
    ):
        assert peer.subscribe(topics.down_filter("plant", "gw-1"))
        wait_until_sync(lambda: link.connected, 30.0, "a session")
        assert all(link.publish(down, payload) for payload in sent)
        wait_until_sync(lambda: len(peer.got) >= len(sent), 30.0, "all of them")
        assert [payload for _, payload in peer.got] == sent


def test_where_only_telemetry_comes_nothing_is_acknowledged_before_it_is_kept() -> None:
    handover, n = Handover(1 << 20), 60
    with (
        throwaway_broker("mosquitto", accounts=[GATEWAY]) as broker,
        linked(broker.port, handover, window_messages=16, early_acks=False) as link,
    ):
        with gateway(broker) as peer:
            subscribe_all(link, peer)
            for number in range(n):
                peer.publish(TELEMETRY, b"%d" % number)
            got: list[bytes] = []
            while len(got) < n:
                waiting = taken(handover, min(16, n - len(got)))
                assert all(message.mid for message in waiting)
                got += [message.payload for message in waiting]
                for message in waiting:
                    link.ack(message)
        assert got == [b"%d" % number for number in range(n)]
        assert link.early_acks == 0


def test_an_alarm_comes_through_while_telemetry_fills_the_window(
    caplog: pytest.LogCaptureFixture,
) -> None:
    alarm, n = topics.up("plant", "gw-1", topics.ALARM), 60
    handover = Handover(1 << 20)
    with (
        throwaway_broker("mosquitto", accounts=[GATEWAY]) as broker,
        linked(broker.port, handover, window_messages=16) as link,
    ):
        with gateway(broker) as peer:
            subscribe_all(link, peer)
            for _ in range(n):
                peer.publish(TELEMETRY, b"reading")
            peer.publish(alarm, b"alarm")
            (found,) = taken_alarms(handover)
            assert found.payload == b"alarm"
            waiting = taken(handover, n)
        kept = [message for message in waiting if message.mid]
        assert len(kept) == 12  # these the broker keeps until they are acknowledged
        assert link.early_acks == n + 1 - len(kept)
        for message in waiting:
            link.ack(message)
        with gateway(broker) as peer:
            peer.publish(TELEMETRY, b"later")
            (message,) = taken(handover, 1)
            assert message.mid
    assert caplog.text == ""


def taken_alarms(handover: Handover) -> list[Received]:
    found: list[Received] = []

    def some() -> bool:
        found.extend(handover.take_alarms(0.1))
        return bool(found)

    wait_until_sync(some, 30.0, "an alarm")
    return found


def test_what_the_broker_dropped_is_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    handover = Handover(1 << 20)
    other = Account("reader-1", "reader-1-password", "reader")
    with (
        throwaway_broker("mosquitto", accounts=[GATEWAY, other], max_queued_bytes=20_000) as broker,
        linked(broker.port, handover) as link,
        gateway(broker) as peer,
    ):
        sleeper = Peer(broker.port, other.user, other.password, client_id="sleeper", clean=False)
        assert sleeper.connect()
        assert sleeper.subscribe(TELEMETRY)
        sleeper.close()
        wait_until_sync(lambda: link.broker_dropped == 0, 30.0, "the broker's count")
        for _ in range(50):
            peer.publish(TELEMETRY, b"x" * 1000)
        wait_until_sync(lambda: (link.broker_dropped or 0) >= 25, 30.0, "what it dropped")
        assert caplog.text.count("drops messages") == 1
