"""An unmodified influxdb-client and plain HTTP on a whole running cloud; `tocsin query` by each of its ways."""

from __future__ import annotations

import csv
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write import point as influx
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from cloud.config import InfluxStoreSection
from cloud.db import open_engine, upgrade
from cloud.query.influx_sql import ask_sql, speaks_sql
from cloud.query.influxql import InfluxServer, ask
from cloud.spine.influx_door import InfluxDoor
from cloud.stores import LedgerEntry
from tests.cloud.query.conftest import TOCSIN, WholeCloud
from tests.cloud.stores.blocks import STREAM, block
from tocsin.config import Secret
from tocsin.errors import QueryError
from tocsin.sdk import SystemClock
from tocsin.testing import run_process

T0 = 1_700_000_000_123_456_789
SQL = "SELECT time, device, level, n, open, note FROM sluice ORDER BY time, device"
EXPECTED = [
    {"time": "2023-11-14T22:13:20.123456789", "device": "a", "level": 1.25, "n": 2**60, "open": True, "note": 'is "open", 开'},
    {"time": "2023-11-14T22:13:21", "device": "b", "level": -3e-7, "n": None, "open": None, "note": None},
    {"time": "2023-11-14T22:13:22", "device": "c", "level": 2.5, "n": -1, "open": False, "note": None},
]  # fmt: skip


@pytest.fixture(scope="module")
def written(whole_cloud: WholeCloud) -> WholeCloud:
    """Three points: an object, its line, and a line in seconds."""
    with InfluxDBClient(whole_cloud.url, token=whole_cloud.token("write"), org="-") as client:
        api = client.write_api(write_options=SYNCHRONOUS)
        new: Any = influx.Point
        point = new("sluice").tag("site", "north").tag("device", "a")
        point.field("level", 1.25).field("n", 2**60).field("open", value=True)
        api.write("tocsin", record=point.field("note", 'is "open", 开').time(T0))
        line = "sluice,site=north,device=b level=-3e-7 1700000001"
        api.write("tocsin", record=line, write_precision="s")
        last = new("sluice").tag("site", "north").tag("device", "c").field("level", 2.5)
        last.field("n", -1).field("open", value=False)
        api.write("tocsin", record=[last.time(1_700_000_002_000, write_precision="ms")])
    return whole_cloud


def asked(url: str, token: str, *, by_get: bool = False, **body: Any) -> bytes:
    at = f"{url}/api/v3/query_sql"
    request = (
        urllib.request.Request(f"{at}?{urllib.parse.urlencode(body)}")
        if by_get
        else urllib.request.Request(
            at, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
    )
    request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        raw: bytes = answer.read()
    return raw


@pytest.mark.parametrize("by_get", [False, True])
def test_what_the_client_wrote_is_read_back_by_sql(
    written: WholeCloud, by_get: bool, tmp_path: Path
) -> None:
    token = written.token("query")
    told = asked(written.url, token, by_get=by_get, q=SQL, db="tocsin", format="json")
    assert json.loads(told) == EXPECTED
    lines = asked(written.url, token, by_get=by_get, q=SQL, format="jsonl").splitlines()
    assert [json.loads(line) for line in lines] == EXPECTED
    table = asked(written.url, token, by_get=by_get, q=SQL, format="parquet")
    assert table[:4] == table[-4:] == b"PAR1"
    path = tmp_path / "answer.parquet"
    path.write_bytes(table)
    with duckdb.connect() as reader:
        read = reader.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
    assert read == (len(EXPECTED),)


def test_bad_lines_are_named_and_the_good_ones_of_the_body_are_kept(written: WholeCloud) -> None:
    body = "tank,site=north,device=x level=1 1700000000\ntank level\ntank,site=north,device=x level=2 1700000001"
    with InfluxDBClient(written.url, token=written.token("write"), org="-") as client:
        api = client.write_api(write_options=SYNCHRONOUS)
        with pytest.raises(InfluxDBError) as caught:
            api.write("tocsin", record=body, write_precision="s")
        assert caught.value.response.status == 400
        assert "2 written, 1 rejected; line 2:" in str(caught.value)
    told = asked(written.url, written.token("query"), q="SELECT level FROM tank ORDER BY time")
    assert json.loads(told) == [{"level": 1.0}, {"level": 2.0}]


def test_a_wrong_token_is_401_and_one_that_may_not_write_403(written: WholeCloud) -> None:
    for token, status in (("wrong", 401), (written.token("read", "query"), 403)):
        with InfluxDBClient(written.url, token=token, org="-") as client:
            api = client.write_api(write_options=SYNCHRONOUS)
            with pytest.raises(ApiException) as caught:
                api.write("tocsin", record="tank,site=north,device=y level=1")
            assert caught.value.status == status
    for token, status in (("wrong", 401), (written.token("write"), 403)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(written.url, token, q="SELECT 1")
        assert refused.value.code == status
        refused.value.close()
    told = asked(
        written.url, written.token("query"), q="SELECT count(*) AS n FROM tank WHERE device = 'y'"
    )
    assert json.loads(told) == [{"n": 0}]


def test_our_own_door_for_influxdb_3_understands_it(written: WholeCloud) -> None:
    server = InfluxServer(written.url, "tocsin", token=written.token("query"))
    assert speaks_sql(server)
    found = ask_sql(server, SQL)
    assert found.columns[0].type == "timestamp_ns"
    assert found.data[0][0] == T0
    with pytest.raises(QueryError):
        ask_sql(server, "SELECT nothing FROM sluice")
    with pytest.raises(QueryError) as caught:
        ask_sql(server, "SHOW MEASUREMENTS")
    assert "wrong-language" in caught.value.message
    with pytest.raises(Exception, match="404"):
        ask(server, "SHOW MEASUREMENTS")


def test_one_cloud_may_be_the_influxdb_3_of_another(written: WholeCloud, tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "state.db")
    upgrade(engine)
    token = Secret(written.token("write", "query"))
    section = InfluxStoreSection(type="influx", url=written.url, version="v3", token=token)
    door = InfluxDoor(section, engine, SystemClock())
    entry = LedgerEntry("gw-1", STREAM, 0, 3)
    assert door.store.write([block()], [entry]) == []
    assert door.store.write([block()], [entry]) == []  # a resend changes nothing
    assert list(door.store.ledger()["gw-1", STREAM][0]) == [(0, 3)]
    times = [int(t) for t in block().time_ns]
    told = door.query("SELECT time, h2s, seq FROM gas ORDER BY time", 10, 10.0, "sql")
    assert told["data"] == [times, [0.5, 1.5, 2.5], [0, 1, 2]]
    asked_for = ("gas", "north", "gas-01", "h2s", times[0], times[2])
    assert door.series(*asked_for) == (times[:2], [0.5, 1.5], [0, 0])
    assert door.series("gas", "north", "gas-01", "never", 0, 2**62) == ([], [], [])
    assert door.newest() == []
    door.close()
    engine.dispose()


def command(folder: Path, form: str, *where: str) -> bytes:
    target = folder / f"answer.{form}"
    argv = [*TOCSIN, "query", SQL, "--format", form, "--output", str(target), *where]
    with run_process(argv) as done:
        assert done.wait(60.0) == 0, done.stderr
    return target.read_bytes()


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        told = connection.execute(f"SELECT * REPLACE (epoch_ns(time) AS time) FROM '{path}'")
        return told.fetchall()


def refusals(*where: str) -> list[tuple[int | None, str]]:
    """Exit status and message of questions that are not answered."""
    found = []
    for text, more in (
        ("SELECT nothing FROM sluice", []),
        ("DROP TABLE sluice", []),
        ("SHOW MEASUREMENTS", ["--language", "influxql"]),
    ):
        with run_process([*TOCSIN, "query", text, "--json", *more, *where]) as done:
            done.wait(60.0)
            found.append((done.returncode, json.loads("".join(done.stdout))["error"]["message"]))
    return found


def test_the_command_answers_alike_by_socket_by_http_and_from_a_stopped_clouds_folder(
    written: WholeCloud, tmp_path: Path
) -> None:
    by_socket = ["--data", str(written.data)]
    by_http = ["--url", written.url, "--token", written.token("query")]
    forms = ("table", "csv", "json", "jsonl", "parquet")
    live: Callable[[str], bytes] = lambda form: command(tmp_path, form, *by_socket)  # noqa: E731
    answers = {form: live(form) for form in forms}
    rows = rows_of(tmp_path / "answer.parquet")
    assert [row[0] for row in rows] == [T0, 1_700_000_001 * 10**9, 1_700_000_002 * 10**9]
    assert [row[1:] for row in rows] == [tuple(list(e.values())[1:]) for e in EXPECTED]
    assert json.loads(answers["json"]) == EXPECTED
    assert [json.loads(line) for line in answers["jsonl"].splitlines()] == EXPECTED
    plain = list(csv.DictReader(answers["csv"].decode().splitlines()))
    assert [row["time"] for row in plain] == [e["time"] for e in EXPECTED]
    assert len(answers["table"].splitlines()) >= 4
    refused = refusals(*by_socket)
    assert [status for status, _ in refused] == [7, 7, 7]

    def same(where: list[str]) -> None:
        for form in forms[:-1]:
            assert command(tmp_path, form, *where) == answers[form], (form, where)
        command(tmp_path, "parquet", *where)
        assert rows_of(tmp_path / "answer.parquet") == rows
        assert refusals(*where) == refused

    same(by_http)
    assert written.process.terminate(20.0) == 0
    same(by_socket)
