"""Ingesters that share the gateways out: by bucket on any broker, or dealt out by one that can (MQTT 5)."""

from __future__ import annotations

import logging
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloud.app import run as run_cloud
from cloud.beside import run_forwarder, run_ingester
from cloud.config import load_cloud
from cloud.link import Handover, LinkOptions, MqttLink
from tests.cloud.growth.city import GATEWAYS, HIGH, LOW, MS, ROWS, SITE, City, Node
from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.columns import Layout, Row, group_rows
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, Batch
from tocsin.errors import BrokerError, ConfigError
from tocsin.sdk import SystemClock
from tocsin.testing import run_process, wait_until_sync


def ingester(city: City, name: str, more: str) -> Node:
    return city.node(name, "ingest", more)


@pytest.mark.release
def test_two_ingesters_share_the_buckets_and_one_is_killed_under_load(
    influxd: str, tmp_path: Path
) -> None:
    with City(tmp_path, influxd) as city:
        assert city.of_buckets(LOW)
        assert city.of_buckets(HIGH)
        low = ingester(city, "ingest-1", f'buckets = "{LOW}"')
        high = ingester(city, "ingest-2", f'buckets = "{HIGH}"')
        with city.load():
            city.more_acks()
            high.process.kill9()
            city.more_acks(of=city.of_buckets(LOW))  # who is not concerned goes on
            high.start()
            city.more_acks()
        city.nothing_lost_or_doubled()
        assert set(low.counters()) >= {"rows", "commits", "store_error"}
        assert not city.cloud.counters()["rows"], "the telemetry is not the cloud's"
        # what the ingesters stored is on the cloud's screens, and it knows whose it is
        wait_until_sync(lambda: _last_values(city) == _newest(city), 30.0, "last values")
        devices = {(d["gateway"], d["device"]) for d in city.cloud.call("devices")}
        assert devices == {(g, f"gas-{g}") for g in GATEWAYS}


def _last_values(city: City) -> dict[str, float]:
    rows = city.cloud.call("last")
    return {row["device"]: row["value"] for row in rows if row["quantity"] == "h2s"}


def _newest(city: City) -> dict[str, float]:
    return {f"gas-{g.gateway}": float(g.rows - 1) for g in city.gateways}


@pytest.mark.release
def test_a_set_of_ingesters_grows_to_two_and_shrinks_to_one_under_load(
    influxd: str, tmp_path: Path
) -> None:
    with City(tmp_path, influxd) as city:
        first = ingester(city, "ingest-1", f'buckets = "{LOW}, {HIGH}"')
        with city.load():
            city.more_acks()
            second = ingester(city, "ingest-2", f'buckets = "{HIGH}"')  # both own it for a while
            city.more_acks()
            assert first.process.terminate() == 0
            first.configure(f'[ingest]\nbuckets = "{LOW}"')
            first.start()
            city.more_acks()
            second.process.kill9()  # for good, with what it had in hand
            first.process.kill9()
            first.configure(f'[ingest]\nbuckets = "{LOW}, {HIGH}"')
            first.start()
            city.more_acks()
        city.nothing_lost_or_doubled()


def test_what_one_stored_another_knows_when_it_is_sent_again(influxd: str, tmp_path: Path) -> None:
    with City(tmp_path, influxd) as city:
        first = ingester(city, "ingest-1", f'buckets = "{LOW}, {HIGH}"')
        second = ingester(city, "ingest-2", "share = true")  # both get everything, by two ways
        layout = Layout("gas-x", "gas", ("h2s",), "f")
        t0, unit, groups = group_rows([Row(layout, (n + 1) * MS, (1.0,)) for n in range(ROWS)])
        stream, total = ulid(time.time_ns()), ROWS * len(GATEWAYS)
        batches = [Batch(VERSION, SITE, name, stream, 0, t0, groups, unit) for name in GATEWAYS]

        def send() -> None:
            for gateway, batch in zip(city.gateways, batches, strict=True):
                topic = topics.up(SITE, gateway.gateway, topics.TELEMETRY)
                gateway.publish(topic, encode(batch))

        def counted(name: str) -> int:
            return sum(int(node.counters().get(name, 0)) for node in (first, second))

        send()
        wait_until_sync(lambda: counted("rows") + counted("duplicates") == 2 * total, 30.0, "both")
        before = counted("rows")
        threading.Event().wait(1.5)  # a gateway waits longer before it sends again
        send()
        wait_until_sync(
            lambda: counted("rows") + counted("duplicates") == 4 * total, 30.0, "a look"
        )
        assert counted("rows") == before, "what one stored, neither takes for new"


@pytest.mark.release
def test_a_cloud_asks_for_what_nobody_stored_and_never_for_what_an_ingester_did(
    influxd: str, tmp_path: Path
) -> None:
    with City(tmp_path, influxd) as city:
        nodes = [
            ingester(city, f"ingest-{n}", f'buckets = "{b}"') for n, b in ((1, LOW), (2, HIGH))
        ]

        def ask(committed: int) -> list[tuple[str, int, int]]:
            """What is told to be lacking as soon as so much was committed."""
            before = {g: g.acks_by["cloud-0"] for g in city.gateways}
            for gateway in city.gateways:
                gateway.resume(committed)
            wait_until_sync(lambda: all(g.acks_by["cloud-0"] > n for g, n in before.items()))
            return [lacking for g in city.gateways for lacking in g.lacks]

        def more() -> int:
            for gateway in city.gateways:
                city.put(gateway)
            wait_until_sync(city.all_committed, 60.0)
            return city.gateways[0].rows

        for _ in range(5):
            assert ask(more()) == []
        saved = more()
        for node in (city.cloud, *nodes):
            assert node.process.terminate() == 0
        with sqlite3.connect(tmp_path / "state.db") as db:
            db.execute("VACUUM INTO ?", (str(tmp_path / "saved.db"),))
        db.close()
        for node in (city.cloud, *nodes):
            node.start()
        total = more()
        for node in (city.cloud, *nodes):
            node.process.kill9()
        for path in tmp_path.glob("state.db*"):
            path.unlink()
        (tmp_path / "saved.db").rename(tmp_path / "state.db")
        for node in (city.cloud, *nodes):
            node.start()
        assert ask(total) == [("cloud-0", saved, total)] * len(GATEWAYS)


@pytest.mark.release
def test_a_broker_that_deals_out_feeds_two_ingesters_and_one_is_killed_for_good(
    influxd: str, tmp_path: Path
) -> None:
    with City(tmp_path, influxd) as city:
        nodes = [ingester(city, name, "share = true") for name in ("ingest-1", "ingest-2")]
        with city.load():
            city.more_acks()
            wait_until_sync(lambda: all(n.counters().get("rows", 0) for n in nodes), 30.0, "both")
            nodes[0].process.kill9()
            city.more_acks()
        city.nothing_lost_or_doubled()


@contextmanager
def broker_that_says(*answers: bytes) -> Iterator[int]:
    """The port of a peer that answers each of a client's packets, in order, with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as client:
                for answer in answers:
                    client.recv(65536)
                    client.sendall(answer)
                client.recv(65536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10.0)


ACCEPTED = bytes.fromhex("2003 00 00 00")
NOT_SHARED = bytes.fromhex("2005 00 00 02 2a00")  # CONNACK: Shared Subscription Available 0
REFUSED = bytes.fromhex("9005 0001 00 9e 00")  # SUBACK: 0x9e shared subscriptions not supported


@pytest.mark.parametrize(
    "answers",
    [(NOT_SHARED,), (ACCEPTED, REFUSED), (bytes.fromhex("2003 00 84 00"),), (bytes.fromhex("2002 00 01"),)],
    ids=["connack", "suback", "only-3.1.1", "only-3.1.1-in-its-own-words"],
)  # fmt: skip
def test_a_broker_that_cannot_deal_out_is_refused_once_and_for_all(
    answers: tuple[bytes, ...],
) -> None:
    refused: list[BrokerError] = []
    with broker_that_says(*answers) as port:
        filters = topics.telemetry_filters(shared=True)
        options = LinkOptions("127.0.0.1", port, "a", "a", "", filters=filters, share=True)
        log = logging.getLogger("link")
        link = MqttLink(
            options, Handover(1 << 20), SystemClock(), log, lambda: None, on_refused=refused.append
        )
        link.start()
        wait_until_sync(lambda: bool(refused), 30.0, "a word")
        link.close()
    (error,) = refused
    assert "gives no shared subscription" in error.message
    assert "ingest.buckets" in error.hint


INGEST = """schema = 1
[cloud]
name = "ingest-1"
data_dir = "data"
[broker]
mode = "external"
port = 1
[store]
type = "influx"
url = "http://127.0.0.1:1"
version = "v1"
"""


def test_an_ingester_whose_broker_cannot_deal_out_ends_with_a_clear_word(tmp_path: Path) -> None:
    with broker_that_says(NOT_SHARED) as port:
        config = tmp_path / "ingest.toml"
        shared = INGEST.replace("port = 1", f"port = {port}") + "[ingest]\nshare = true\n"
        config.write_text(shared, "utf-8")
        argv = [sys.executable, "-m", "tocsin.cli", "cloud", "ingest", "-c", str(config)]
        with run_process(argv) as ended:
            assert ended.wait() == 6
            assert "gives no shared subscription" in "".join(ended.stderr)


LOG = '[log]\nservers = ["nats://127.0.0.1:1"]\n'


@pytest.mark.parametrize(
    ("run", "text", "key"),
    [
        (run_ingester, INGEST.replace('type = "influx"\nurl = "http://127.0.0.1:1"\nversion = "v1"', 'type = "local"'), "store.type"),
        (run_ingester, INGEST.replace('mode = "external"', 'mode = "child"'), "broker.mode"),
        (run_ingester, INGEST + '[ingest]\nbuckets = "0-30"\n' + LOG, "ingest.buckets"),
        (run_ingester, INGEST + "[ingest]\nshare = true\n" + LOG, "ingest.share"),
        (run_forwarder, INGEST, "log"),
        (run_forwarder, INGEST.replace('mode = "external"', 'mode = "child"') + LOG, "broker.mode"),
        (run_cloud, INGEST + "[ingest]\nshare = true\n", "ingest.share"),
    ],
)  # fmt: skip
def test_a_configuration_of_another_role_is_refused(
    run: Callable[..., None], text: str, key: str, tmp_path: Path
) -> None:
    path = tmp_path / "cloud.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        run(load_cloud(path).value, path, as_json=False)
    assert [p.key for p in caught.value.problems] == [key]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[ingest]\nbuckets = "64"\n', "ingest.buckets"),
        ('[ingest]\nbuckets = "0-3"\nshare = true\n', "ingest.buckets"),
        ('[log]\nservers = ["nats://10.0.0.1:4222"]\n', "log.servers[0]"),
        ('[log]\nservers = ["http://127.0.0.1:4222"]\n', "log.servers[0]"),
        ('[log]\nservers = ["nats://user:secret@127.0.0.1:4222"]\n', "log.servers[0]"),
        ("[log]\nservers = []\n", "log.servers"),
    ],
)
def test_a_mistake_is_told_at_its_key(text: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "cloud.toml"
    path.write_text(INGEST + text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_cloud(path)
    assert [p.key for p in caught.value.problems] == [key]
