"""Every query of the shipped dashboards is answered by the server it was written for."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from cloud.query.influxql import InfluxServer, ask
from cloud.stores import Block, Column
from cloud.stores.influx.store import InfluxStore
from cloud.stores.influx.transport import InfluxOptions
from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import STREAM, Kept

GRAFANA = Path(__file__).parents[3] / "configs" / "grafana"
NOW = time.time_ns()
ROWS = 60


def panels(name: str) -> list[tuple[str, dict[str, object]]]:
    board = json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text("utf-8"))
    return [(panel["title"], target) for panel in board["panels"] for target in panel["targets"]]


def iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def as_grafana_does(sql: str) -> str:
    """What Grafana's InfluxDB source and its variables make of a query, for the last six hours."""
    start, end = iso(NOW - 6 * 3600 * 10**9), iso(NOW)
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= '{start}' AND \1 <= '{end}'", sql)
    origin = "timestamp '1970-01-01T00:00:00Z'"
    sql = re.sub(r"\$__dateBin\((\w+)\)", rf"date_bin(interval '60 second', \1, {origin})", sql)
    for variable, value in {
        "$timeFilter": f"time >= {NOW // 10**6 - 6 * 3600_000}ms and time <= {NOW // 10**6}ms",
        "$__interval_ms": "60000",
        "${__interval_ms}": "60000",
        "$__interval": "1m",
        "${__from:date:iso}": start,
        "${__to:date:iso}": end,
    }.items():
        sql = sql.replace(variable, value)
    assert "$" not in sql
    return sql


def blocks() -> list[Block]:
    stamps = NOW - np.arange(ROWS, 0, -1) * 60 * 10**9
    wave = 5 + np.sin(np.arange(ROWS))
    quality = np.where(np.arange(ROWS) == 7, 65, 0).astype(np.uint8)

    def make(measurement: str, device: str, *names: str) -> Block:
        columns = {name: Column("f", wave, quality=quality) for name in names}
        return Block(measurement, "north", device, "gw-1", STREAM, np.arange(ROWS), stamps, columns)

    return [
        make("gas", "gas-01", "h2s", "o2"),
        make("gas", "gas-02", "h2s", "o2"),
        make("water", "river", "level"),
        make("weather", "roof", "rain_total"),
        make("vehicle", "pump", "lat", "lon", "speed"),
    ]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    store.write(blocks(), [])
    yield store
    store.close()


@pytest.mark.parametrize(("title", "target"), panels("tocsin-sql"))
def test_sql_of_the_influxdb_3_board(
    embedded: LocalStore, title: str, target: dict[str, object]
) -> None:
    assert embedded.query(as_grafana_does(str(target["rawSql"]))).rows > 0, title


@pytest.mark.parametrize(("title", "target"), panels("tocsin-embedded"))
def test_sql_of_the_embedded_board(
    embedded: LocalStore, title: str, target: dict[str, object]
) -> None:
    options = target["url_options"]
    assert isinstance(options, dict)
    body = json.loads(options["data"])
    assert set(body) == {"db", "format", "q"}
    assert embedded.query(as_grafana_does(body["q"])).rows > 0, title


@pytest.fixture(scope="module")
def filled(influxd: str) -> str:
    store = InfluxStore(InfluxOptions(influxd, bucket="grafana"), Kept())
    store.write(blocks(), [])
    store.close()
    return influxd


@pytest.mark.parametrize(("title", "target"), panels("tocsin-influxql"))
def test_influxql_of_the_influxdb_1_board(
    filled: str, title: str, target: dict[str, object]
) -> None:
    server = InfluxServer(filled, "grafana")
    assert ask(server, as_grafana_does(str(target["query"]))).rows > 0, title


def test_each_board_names_a_data_source_that_is_provisioned() -> None:
    sources = (GRAFANA / "provisioning" / "datasources" / "tocsin.yaml").read_text("utf-8")
    for path in (GRAFANA / "dashboards").glob("*.json"):
        for uid in set(re.findall(r'"uid": "([^"]+)"', path.read_text("utf-8"))):
            assert f"uid: {uid}\n" in sources


INFLUXQL = re.findall(
    r"```influxql\n(.*?)```",
    (GRAFANA.parents[1] / "docs/reference/influxdb.md").read_text("utf-8"),
    re.S,
)


@pytest.mark.parametrize("text", INFLUXQL)
def test_documented_influxql_is_answered(filled: str, text: str) -> None:
    assert ask(InfluxServer(filled, "grafana"), text.strip()).rows > 0
