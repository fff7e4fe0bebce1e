"""NATS JetStream between broker and ingesters: three real servers, and any of the processes killed under load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cloud.audit.report import GatewayReport
from cloud.rpc import call_once
from tests.cloud.growth.city import HIGH, LOW, City
from tests.cloud.growth.nats_cluster import NatsCluster
from tocsin.testing import wait_until_sync


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    folder = tmp_path / "nats"
    folder.mkdir()
    with NatsCluster(folder) as running:
        yield running


def test_a_server_and_an_ingester_killed_under_load_lose_and_double_nothing(
    influxd: str, cluster: NatsCluster, tmp_path: Path
) -> None:
    log = cluster.log_table()
    with City(tmp_path, influxd) as city:
        forward, low, high = city.nodes(
            ("forward-1", "forward", log),
            ("ingest-1", "ingest", f'buckets = "{LOW}"\n{log}'),
            ("ingest-2", "ingest", f'buckets = "{HIGH}"\n{log}'),
        )
        with city.load():
            city.more_acks()
            leaders = cluster.leaders()
            assert leaders
            victim = min({0, 1, 2} - leaders, default=0)  # the others in the long run below
            cluster.kill9(victim)
            high.process.kill9()
            city.more_acks(of=city.of_buckets(LOW))
            high.start()
            city.more_acks()
        cluster.start(victim)
        city.nothing_lost_or_doubled()
        assert forward.counters()["logged"] > 0
        assert low.counters()["rows"] > 0
        wait_until_sync(lambda: not low.counters()["log_in_hand"], 30.0, "nothing in hand")


@pytest.mark.release
def test_the_audit_tells_what_is_only_logged_from_what_is_stored(
    influxd: str, cluster: NatsCluster, tmp_path: Path
) -> None:
    log = cluster.log_table()
    with City(tmp_path, influxd) as city:

        def audit() -> GatewayReport:
            told = call_once(city.cloud.data / "spine.sock", "audit", gateway=gateway.gateway)
            return msgspec.convert(told, GatewayReport)

        gateway = city.gateways[0]
        city.node("forward-1", "forward", log)
        for _ in range(5):
            city.put(gateway)
        wait_until_sync(lambda: audit().logged == gateway.rows, 30.0, "a word of the forwarder")
        assert (audit().verdict, audit().rows, audit().missing) == ("waiting", 0, 0)
        city.node("ingest-1", "ingest", log)
        wait_until_sync(lambda: audit().verdict == "complete", 30.0, "stored out of the log")
        assert (audit().rows, audit().logged) == (gateway.rows, 0)


@pytest.mark.release
@pytest.mark.timeout(600)
def test_every_process_killed_in_turn_while_the_set_grows_and_shrinks(
    influxd: str, cluster: NatsCluster, tmp_path: Path
) -> None:
    log = cluster.log_table()
    everything, half, other = (f'buckets = "{b}"\n{log}' for b in ("0-63", LOW, HIGH))
    with City(tmp_path, influxd) as city:
        first, second, ingester = city.nodes(
            ("forward-1", "forward", f"share = true\n{log}"),
            ("forward-2", "forward", f"share = true\n{log}"),
            ("ingest-1", "ingest", everything),
        )
        with city.load(0.1):
            city.more_acks()
            for i in range(3):
                cluster.kill9(i)
                city.more_acks()
                cluster.start(i)
                cluster.wait_whole()
            for forward in (first, second):
                forward.process.kill9()
                city.more_acks()
                forward.start()
            # 1 -> 2: both pull from the lanes of the second until the first gives them up
            joined = city.node("ingest-2", "ingest", other)
            city.more_acks()
            assert ingester.process.terminate() == 0
            ingester.configure(f"[ingest]\ncommit_ms = 50\n{half}")
            ingester.start()
            city.more_acks()
            # 2 -> 1, the second killed with what it had in hand
            joined.process.kill9()
            ingester.process.kill9()
            ingester.configure(f"[ingest]\ncommit_ms = 50\n{everything}")
            ingester.start()
            city.more_acks()
        city.nothing_lost_or_doubled()


@pytest.mark.release
def test_without_a_majority_the_broker_keeps_everything_and_it_is_said_once(
    influxd: str, cluster: NatsCluster, tmp_path: Path
) -> None:
    log = cluster.log_table()
    with City(tmp_path, influxd) as city:
        forward, ingester = city.nodes(("forward-1", "forward", log), ("ingest-1", "ingest", log))
        with city.load(0.1):
            city.more_acks()
            cluster.kill9(0)
            cluster.kill9(1)
            wait_until_sync(
                lambda: (
                    forward.counters().get("log_error") and ingester.counters().get("log_error")
                ),
                60.0,
                "a word of both",
            )
            goals = [g.rows + 100 for g in city.gateways]
            wait_until_sync(
                lambda: all(g.rows > n for g, n in zip(city.gateways, goals, strict=True)), 60.0
            )
            cluster.start(0)
            cluster.start(1)
            city.more_acks()
        city.nothing_lost_or_doubled()
        wait_until_sync(  # no message comes any more
            lambda: not (forward.counters()["log_error"] or ingester.counters()["log_error"]),
            60.0,
            "a word of both that it is back",
        )
        for node in (forward, ingester):
            said = [line for line in node.process.stderr if "the log is" in line]
            # servers short of CPU may elect once more when they are back; each time is said once
            assert said, node.name
            assert all("unavailable" in line for line in said[::2]), said
            assert all("back" in line for line in said[1::2]), said
            assert "back" in said[-1], said
