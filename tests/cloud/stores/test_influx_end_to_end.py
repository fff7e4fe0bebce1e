"""From a head's registers into a real InfluxDB and a real VictoriaMetrics, read back value by value."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud.query.influxql import InfluxServer, ask
from tests.cloud.influx_servers import create_database, running_influxd
from tests.cloud.stores.site import QUANTITIES, TOCSIN, Site
from tocsin.errors import QueryError, QueryReason, SpineError
from tocsin.testing import free_port, run_process, wait_until_sync

Rows = list[tuple[float, ...]]


def database(url: str, name: str) -> None:
    asked = urllib.parse.urlencode({"q": f"CREATE DATABASE {name}"})
    urllib.request.urlopen(f"{url}/query?{asked}", b"", timeout=60).close()


def nothing_lost_or_doubled(site: Site, stored: Callable[[], Rows], *, rel: float = 0.0) -> None:
    """With a kill -9 of the spine under load; values may differ by `rel` of themselves."""
    site.more_answers(60)
    wait_until_sync(lambda: bool(stored()), 60.0, "rows")
    site.kill_spine()
    site.more_answers(100)
    site.head.terminate()
    answered = site.answered()
    # The last answer may have been on its way when the head went; every other one is stored, once, in order.
    wait_until_sync(lambda: len(stored()) >= len(answered) - 1, 60.0, "every scan stored")
    wait_until_sync(site.all_is_stored, 60.0, "nothing on its way")
    found = stored()
    assert found == [pytest.approx(scan, rel=rel, abs=0.0) for scan in answered[: len(found)]]
    # and the cloud's own account says so: all numbers of all streams, over the kill
    wait_until_sync(lambda: audit(site)["verdict"] == "complete", 60.0, "a complete audit")
    told = audit(site)
    assert told["missing"] == told["waiting"] == 0
    assert told["rows"] >= len(found)


def audit(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = site.call("audit", gateway="gw-1")
    return found


def test_every_value_reaches_influxdb_1_through_a_killed_spine(
    influxd: str, tmp_path: Path
) -> None:
    database(influxd, "plant")
    server = InfluxServer(influxd, "plant")

    def stored() -> Rows:
        names = ", ".join(QUANTITIES)
        found = ask(server, f"SELECT {names} FROM gas WHERE device = 'gas-01' AND site = 'plant'")
        return list(zip(*found.data[1:], strict=True)) if found.data else []

    store = f'[store]\ntype = "influx"\nurl = "{influxd}"\nbucket = "plant"'
    with Site(tmp_path, store) as site:
        nothing_lost_or_doubled(site, stored)
        the_cloud_answers_in_influxql(site, len(stored()))
        the_console_has_values(site)
        the_command_asks_the_running_cloud(site, len(stored()))
        other_lines_are_handed_on(site, server)
        site.kill_spine()
        wait_until_sync(lambda: bool(last_values(site)), 60.0, "last values out of InfluxDB")
        assert last_values(site).keys() >= set(QUANTITIES)


def last_values(site: Site) -> dict[str, float]:
    try:
        rows = site.call("last")
    except SpineError:
        return {}
    return {row["quantity"]: row["value"] for row in rows if row["device"] == "gas-01"}


def the_cloud_answers_in_influxql(site: Site, rows: int) -> None:
    told = site.call("query", sql="SELECT count(h2s) FROM gas", language="influxql")
    assert told["data"][1] == [rows]
    cut = site.call("query", sql="SELECT h2s FROM gas", language="influxql", max_rows=2)
    assert (len(cut["data"][0]), cut["truncated"]) == (2, True)
    with pytest.raises(QueryError) as caught:
        site.call("query", sql="SELECT count(h2s) FROM gas")
    assert caught.value.reason is QueryReason.WRONG_LANGUAGE
    assert "--language influxql" in caught.value.hint
    with pytest.raises(QueryError) as caught:
        site.call("query", sql="DROP DATABASE plant", language="influxql")
    assert caught.value.reason is QueryReason.NOT_ONE_SELECT


def the_console_has_values(site: Site) -> None:
    answered = site.answered()
    asked = {"measurement": "gas", "device": "gas-01", "site": "plant", "quantity": "o2"}
    told = site.call("series", **asked, from_ns=0, to_ns=2**62, max_points=100_000)
    values = [value for value in told["v"] if value is not None]
    assert values == [scan[1] for scan in answered[: len(values)]]
    # what the silent head leaves behind is a reason instead of a value
    assert [value is None for value in told["v"]] == [code > 0 for code in told["q"]]
    assert told["t"] == sorted(set(told["t"]))


def the_command_asks_the_running_cloud(site: Site, rows: int) -> None:
    question = [*TOCSIN, "query", "SELECT count(h2s) FROM gas", "--json", "--language", "influxql"]
    for where in (["--data", str(site.data)], ["--config", str(site.folder / "cloud.toml")]):
        with run_process([*question, *where]) as done:
            assert done.wait() == 0, done.stderr
            assert json.loads("".join(done.stdout)) == [
                {"time": "1970-01-01T00:00:00", "count": rows}
            ]
    for where in (["--data", str(site.data)], ["--config", str(site.folder / "cloud.toml")]):
        with run_process([*TOCSIN, "query", "SELECT 1", "--json", *where]) as done:
            assert done.wait() == 7
            assert "wrong-language" in json.loads("".join(done.stdout))["error"]["message"]


def other_lines_are_handed_on(site: Site, server: InfluxServer) -> None:
    body = 'weather,site=north,device=roof\\ 1 rain=0.5,n=3i,up=t,text="a \\"b\\"" 1700000000\nweather rain\n'
    body += 'weather,site=north,device=roof\\ 1 rain="wet" 1700000001'
    told = site.call("write_lp", body=body, precision="s")
    assert told["written"] == 1
    assert [bad["line"] for bad in told["rejected"]] == [2, 3]
    found = ask(server, "SELECT rain, n, up, text, device FROM weather")
    assert found.data == [[1_700_000_000 * 10**9], [0.5], [3], [True], ['a "b"'], ["roof 1"]]


def test_every_value_reaches_victoria_metrics_by_the_write_api_of_influxdb_2(
    victoria: str, tmp_path: Path
) -> None:
    def column(quantity: str) -> list[tuple[int, float]]:
        match = urllib.parse.urlencode({"match[]": f'gas_{quantity}{{device="gas-01"}}'})
        with urllib.request.urlopen(f"{victoria}/api/v1/export?{match}", timeout=10) as answer:
            series = [json.loads(line) for line in answer.read().splitlines()]
        # a resend is the same sample again: one and the same to VictoriaMetrics, though its export may show it twice
        pairs = {p for one in series for p in zip(one["timestamps"], one["values"], strict=True)}
        return sorted(pairs)

    def stored() -> Rows:
        urllib.request.urlopen(f"{victoria}/internal/force_flush", timeout=10).close()
        columns = [column(quantity) for quantity in QUANTITIES]
        if len({len(c) for c in columns}) != 1:
            return []  # a commit was half visible
        return list(zip(*([v for _, v in c] for c in columns), strict=True))

    store = f'[store]\ntype = "influx"\nurl = "{victoria}"\nversion = "v2"\ntoken = "any"'
    with Site(tmp_path, store) as site:
        nothing_lost_or_doubled(site, stored, rel=1e-11)  # it keeps 12 digits of a value
        assert last_values(site).keys() >= set(QUANTITIES)


@pytest.mark.release
def test_a_gateway_keeps_what_it_reads_while_influxdb_is_stopped_and_delivers_it(
    tmp_path: Path,
) -> None:
    folder, port = tmp_path / "influx", free_port()
    folder.mkdir()
    url = f"http://127.0.0.1:{port}"
    store = f'[store]\ntype = "influx"\nurl = "{url}"\nbucket = "plant"'

    def stored() -> Rows:
        names = ", ".join(QUANTITIES)
        found = ask(InfluxServer(url, "plant"), f"SELECT {names} FROM gas WHERE device = 'gas-01'")
        return list(zip(*found.data[1:], strict=True)) if found.data else []

    with Site(tmp_path, store) as site:
        with running_influxd(folder, port):
            create_database(url, "plant")
            wait_until_sync(lambda: bool(stored()), 60.0, "rows")
        site.more_answers(1200)  # a minute of its 20 scans a second
        assert "does not answer" in site.call("counters")["store_error"]
        site.head.terminate()
        with running_influxd(folder, port):
            answered = site.answered()
            wait_until_sync(lambda: len(stored()) >= len(answered) - 1, 120.0, "every scan stored")
            wait_until_sync(site.all_is_stored, 60.0, "nothing on its way")
            found = stored()
            assert found == [tuple(scan) for scan in answered[: len(found)]]
