"""InfluxDB stopped for a long while: messages stay with the broker, then with the gateways; the spine stays small; all is drained."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from cloud.query.influxql import InfluxServer, ask
from tests.cloud.influx_servers import create_database, running_influxd
from tests.cloud.spine.running import GATEWAY, SpineProcess
from tocsin.broker import Account
from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.columns import Layout, Row
from tocsin.contract.messages import VERSION, Alarm, AlarmChange
from tocsin.testing import free_port, throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway

MIB = 1 << 20
QUEUE_BYTES = MIB  # of the spine
BROKER_BYTES = MIB  # of the broker, beside what it has in flight
WINDOW_MESSAGES = 64  # in flight
WINDOW_BYTES = MIB // 2  # of the gateway that keeps the rest to itself
CHUNK_ROWS = 10
GREEDY_BYTES = 4 * MIB  # of the gateway that sends more than spine and broker take
LAYOUT = Layout("gas-01", "gas", ("h2s", "note"), "fs")
OTHER, BELL = Account("gw-2", "gw-2-password"), Account("gw-3", "gw-3-password")


class Outage:
    """Two gateways (one with a small window, one with a large), mosquitto, a spine, and an InfluxDB that comes and goes."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder / "influx", free_port()
        self._folder.mkdir()
        self.url = f"http://127.0.0.1:{self._port}"

    @contextmanager
    def influxd(self) -> Iterator[None]:
        with running_influxd(self._folder, self._port):
            create_database(self.url, "tocsin")
            yield

    def rows(self, gateway: str) -> list[float]:
        """The numbers of the rows stored of a gateway, in order."""
        found: list[list[Any]] = ask(
            InfluxServer(self.url, "tocsin"), f"SELECT h2s FROM gas WHERE device = 'gas-{gateway}'"
        ).data
        return sorted(found[1]) if found else []


def chunk(gateway: WireGateway, note: str) -> None:
    at, now = gateway.rows, time.time_ns()
    layout = Layout(f"gas-{gateway.gateway}", "gas", ("h2s", "note"), "fs")
    gateway.put([Row(layout, now + i, (float(at + i), note)) for i in range(CHUNK_ROWS)])


def resident(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def outage(
    folder: Path, chunks: int, note: str, *, pause_s: float = 0.0, resend_after_s: float = 1.0
) -> None:
    """Publish `chunks` messages of each gateway while InfluxDB is stopped, with a `note` in each of their rows."""
    spineless = 2 * MIB // (CHUNK_ROWS * len(note))
    site = Outage(folder)
    store = f'[store]\ntype = "influx"\nurl = "{site.url}"\nversion = "v1"\n'
    with (
        throwaway_broker(
            "mosquitto", accounts=[GATEWAY, OTHER, BELL], max_queued_bytes=BROKER_BYTES
        ) as broker,
        closing(SpineProcess(folder, broker, f"queue_bytes = {QUEUE_BYTES}\n{store}")) as spine,
        WireGateway(
            broker.port,
            "gw-1",
            "plant",
            GATEWAY.password,
            resend_after_s=resend_after_s,
            window_bytes=GREEDY_BYTES,
        ) as greedy,
        WireGateway(
            broker.port,
            "gw-2",
            "plant",
            OTHER.password,
            resend_after_s=resend_after_s,
            window_bytes=WINDOW_BYTES,
        ) as modest,
        WireGateway(broker.port, "gw-3", "plant", BELL.password) as bell,
    ):
        text = spine.config.read_text("utf-8")
        text = text.replace("[ingest]", f"window_messages = {WINDOW_MESSAGES}\n[ingest]")
        text += "".join(f'[[gateways]]\nid = "gw-{n}"\nsite = "plant"\n' for n in (2, 3))
        spine.config.write_text(text, "utf-8")
        with site.influxd():
            spine.start()
            for gateway in (greedy, modest):
                chunk(gateway, note)
            wait_until_sync(
                lambda: not greedy.uncommitted + modest.uncommitted, 30.0, "a first one"
            )

        def counter(name: str) -> int:
            return int(spine.call("counters")[name] or 0)

        spine.process.kill9()
        for _ in range(spineless):  # more than the broker keeps for a spine that is gone
            chunk(greedy, note)
        spine.start()
        wait_until_sync(lambda: counter("broker_dropped"), 30.0, "that it dropped")
        for i in range(chunks):
            time.sleep(pause_s)
            chunk(greedy, note)
            chunk(modest, note)
            assert modest.under_way_bytes <= WINDOW_BYTES
            if i == chunks // 2:
                wait_until_sync(lambda: counter("overflows"), 30.0, "a full hand-over")
                before, early = resident(spine.process.pid), counter("early_acks")
        bell.put_sealed(1, topics.ALARM, lambda seq: encode(alarm(bell.stream, seq)))
        wait_until_sync(lambda: spine.call("alarms", active=True, limit=9), 30.0, "the alarm")
        counters = spine.call("counters")
        assert "does not answer" in counters["store_error"]
        assert counters["waiting_bytes"] <= QUEUE_BYTES + (8 << 10)
        assert counters["overflows"] > 0
        assert counters["early_acks"] > 0
        assert (greedy.uncommitted, modest.uncommitted) == (chunks + spineless, chunks)
        wait_until_sync(lambda: counter("early_acks") > early + chunks, 60.0, "as many more")
        assert resident(spine.process.pid) - before < 8 * MIB
        assert resident(broker.pid) < BROKER_BYTES + 64 * MIB
        with site.influxd():
            wait_until_sync(
                lambda: not greedy.uncommitted + modest.uncommitted, 120.0, "all drained"
            )
            wait_until_sync(lambda: not bell.uncommitted, 30.0, "the alarm's number")
            for gateway in (greedy, modest):
                assert site.rows(gateway.gateway) == [float(n) for n in range(gateway.rows)]
        assert spine.call("deadletters") == []
        journal = spine.call("alarm_journal", alarm="A1")
        assert [entry["change"] for entry in journal] == ["raised"]
        said = [line for line in spine.process.stderr if "cloud.ingest" in line]
        assert ["readings wait" in said[0], "is back" in said[1]] == [True, True]
        assert "being dropped" in broker.log_path.read_text("utf-8")


def alarm(stream: str, seq: int) -> Alarm:
    return Alarm(
        VERSION, "plant", "gw-3", stream, seq, "A1", "gas-01", "gas", "h2s", "h2s-high",
        AlarmChange.RAISED, 1, time.time_ns(), value=21.0, unit="[ppm]", limit=20.0,
    )  # fmt: skip


def test_a_stopped_influxdb_holds_messages_with_the_broker_and_then_with_the_gateways(
    tmp_path: Path,
) -> None:
    outage(tmp_path, 50, "n" * 4000)


DEFLATED_ROWS, DEFLATED_MESSAGES = 500, 600
WIDE = Layout("gas-01", "gas", tuple(f"q{i}" for i in range(8)), "f" * 8)


def test_deflated_telemetry_takes_no_more_memory_than_the_queue_while_influxdb_is_stopped(
    tmp_path: Path,
) -> None:
    site = Outage(tmp_path)
    store = f'[store]\ntype = "influx"\nurl = "{site.url}"\nversion = "v1"\n'
    with (
        throwaway_broker("mosquitto", accounts=[GATEWAY]) as broker,
        closing(SpineProcess(tmp_path, broker, f"queue_bytes = {QUEUE_BYTES}\n{store}")) as spine,
        WireGateway(
            broker.port, "gw-1", "plant", GATEWAY.password, resend_after_s=60.0, codec="jd"
        ) as gateway,
    ):
        numbers = itertools.count()

        def scan() -> None:
            # a nanosecond of its own in each millisecond: a row with another's time would replace it
            now = time.time_ns() // 1_000_000 * 1_000_000 + next(numbers)
            rows = [Row(WIDE, now + i * 1_000_000, (20.9,) * 8) for i in range(DEFLATED_ROWS)]
            gateway.put(rows)

        with site.influxd():
            spine.start()
            scan()
            wait_until_sync(lambda: not gateway.uncommitted, 30.0, "a first one")
            before = resident(spine.process.pid)
        for _ in range(DEFLATED_MESSAGES):
            scan()
        wait_until_sync(lambda: int(spine.call("counters")["overflows"] or 0), 30.0, "a full queue")
        assert resident(spine.process.pid) - before < 16 * MIB
        with site.influxd():
            wait_until_sync(lambda: not gateway.uncommitted, 120.0, "all drained")
            found: list[list[Any]] = ask(
                InfluxServer(site.url, "tocsin"),
                "SELECT count(q7) FROM gas WHERE device = 'gas-01'",
            ).data
        assert found[1] == [DEFLATED_ROWS * (DEFLATED_MESSAGES + 1)]
        assert resident(spine.process.pid) - before < 48 * MIB


@pytest.mark.release
@pytest.mark.timeout(900)
def test_two_minutes_of_it_with_the_messages_of_an_hour(tmp_path: Path) -> None:
    outage(tmp_path, 3600, "n" * 400, pause_s=120 / 3600, resend_after_s=4.0)
