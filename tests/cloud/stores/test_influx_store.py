"""The same blocks in real InfluxDB-compatible servers, read back in their own language."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from cloud.query.influxql import InfluxServer, ask
from cloud.stores import Block, Column, LedgerEntry, Rejected
from cloud.stores.influx.store import InfluxStore
from cloud.stores.influx.transport import InfluxOptions
from tests.cloud.scripted_influx import Answering, scripted_influx
from tests.cloud.stores.blocks import STREAM, T0, Kept, block
from tocsin.errors import StoreUnavailableError
from tocsin.testing import wait_until_sync


def machine(device: str = "m 1,=x") -> Block:
    valid = np.array([True, False, True])
    return Block(
        "machine",
        "北 区",
        device,
        "gw-1",
        STREAM,
        np.arange(3),
        T0 + np.arange(3) * 10**9,
        {
            "temperature": Column(
                "f", np.array([1.25, 0.0, -3e-7]), valid, np.array([0, 69, 65], np.uint8)
            ),
            "count": Column("i", np.array([2**60, 0, -5]), valid),
            "running": Column("b", np.array([True, True, False]), valid),
            "mode": Column("s", np.array(['a "q" \\', "", "雨"], dtype=object), valid),
        },
        source_ns=np.array([T0 - 5, T0, T0]),
        raw={"temperature": Column("f", np.array([34.25, 0.0, 32.0]), valid)},
    )


def test_every_type_comes_back_from_influxdb_1_by_influxql(influxd: str) -> None:
    kept = Kept()
    store = InfluxStore(InfluxOptions(influxd), kept)
    entry = LedgerEntry("gw-1", STREAM, 0, 3)
    assert store.write([machine()], [entry]) == []
    assert store.write([machine()], [entry]) == []  # a resend changes nothing
    result = ask(
        InfluxServer(influxd, "tocsin"),
        "SELECT temperature, temperature_q, temperature_raw, count, running, mode, seq, source_time, site, device FROM machine",
    )
    assert result.columns[0].name == "time"
    assert result.data == [
        [T0, T0 + 10**9, T0 + 2 * 10**9],
        [1.25, None, -3e-7],
        [0, 69, 65],
        [34.25, None, 32],
        [2**60, None, -5],
        [True, None, False],
        ['a "q" \\', None, "雨"],
        [0, 1, 2],
        [T0 - 5, T0, T0],
        ["北 区"] * 3,
        ["m 1,=x"] * 3,
    ]
    assert list(store.ledger()["gw-1", STREAM][0]) == [(0, 3)]
    store.close()


def test_a_field_of_another_type_is_rejected_and_the_rest_stored(influxd: str) -> None:
    store = InfluxStore(InfluxOptions(influxd), Kept())
    ones = Column("f", np.ones(3))

    def block(name: str, **columns: Column) -> Block:
        return Block("conflict", "n", name, "g", STREAM, np.arange(3), T0 + np.arange(3), columns)

    assert store.write([block("a", x=ones)], []) == []
    rejected = store.write(
        [block("b", x=Column("i", np.arange(3)), y=ones), block("c", y=ones)], []
    )
    assert [(r.block, r.row, r.column) for r in rejected] == [(0, None, "x")]
    result = ask(InfluxServer(influxd, "tocsin"), "SELECT count(y) FROM conflict")
    assert result.data[1] == [6]
    assert (
        store.write([block("d", x=ones)], []) == []
    )  # the type that InfluxDB has still goes through
    result = ask(InfluxServer(influxd, "tocsin"), "SELECT count(x) FROM conflict")
    assert result.data[1] == [6]
    store.close()


def test_rows_beyond_the_retention_of_influxdb_are_rejected_in_one_go(influxd: str) -> None:
    asked = urllib.parse.urlencode(
        {"q": "CREATE RETENTION POLICY hour ON tocsin DURATION 1h REPLICATION 1"}
    )
    urllib.request.urlopen(f"{influxd}/query?{asked}", b"", timeout=60).close()
    store = InfluxStore(InfluxOptions(influxd, bucket="tocsin/hour"), Kept())
    old = block(rows=3000)
    rejected = store.write([old], [])
    assert len(rejected) == 3000
    assert "beyond retention policy" in rejected[0].reason
    now = block(rows=50)
    now = replace(now, time_ns=now.time_ns - T0 + time.time_ns())
    assert [r.block for r in store.write([now, block(rows=7)], [])] == [1] * 7
    found = ask(InfluxServer(influxd, "tocsin/hour"), "SELECT count(h2s) FROM hour.gas")
    assert found.data[1] == [50]
    store.close()


def test_a_missing_database_is_unavailable_with_a_hint(influxd: str) -> None:
    kept = Kept()
    store = InfluxStore(InfluxOptions(influxd, bucket="nowhere"), kept)
    with pytest.raises(StoreUnavailableError) as caught:
        store.write([machine()], [LedgerEntry("gw-1", STREAM, 0, 3)])
    assert "bucket or database" in caught.value.hint
    assert kept.settled == {}
    store.close()


@pytest.mark.parametrize("compressed", [True, False])
def test_victoria_metrics_takes_it_by_influxdb_client(victoria: str, compressed: bool) -> None:
    store = InfluxStore(InfluxOptions(victoria, api="v2", gzip=compressed), Kept())
    device = f"vm-{compressed}"
    assert store.write([block(device=device)], []) == []

    def stored() -> list[float]:
        urllib.request.urlopen(f"{victoria}/internal/force_flush", timeout=10).close()
        match = f"match[]=gas_h2s%7Bdevice=%22{device}%22%7D"
        with urllib.request.urlopen(f"{victoria}/api/v1/export?{match}", timeout=10) as answer:
            lines = answer.read().splitlines()
        return [v for line in lines for v in json.loads(line)["values"]]

    wait_until_sync(lambda: stored() == [0.5, 1.5, 2.5])
    store.close()


@contextmanager
def scripted(answer: Answering) -> Iterator[str]:
    """Address of a server whose answer depends on the body."""
    with scripted_influx() as influx:
        influx.answering = answer
        yield influx.url


def test_one_bad_line_is_found_among_good_ones() -> None:
    good: list[bytes] = []

    def answer(body: bytes) -> tuple[int, dict[str, str], str]:
        if b"seq=77i" in body:
            return 400, {}, '{"code":"invalid","message":"unable to parse"}'
        good.extend(body.splitlines())
        return 204, {}, ""

    with scripted(answer) as url:
        kept = Kept()
        store = InfluxStore(InfluxOptions(url, api="v2", gzip=False), kept)
        heard: list[tuple[list[Rejected], bool]] = []

        def told(found: list[Rejected]) -> None:
            heard.append((found, bool(kept.settled)))

        (rejected,) = store.write([block(rows=100)], [LedgerEntry("gw-1", STREAM, 0, 100)], told)
        store.close()
    assert heard == [([rejected], False)]  # before any number is settled
    assert [list(r) for r in kept.settled["gw-1", STREAM]] == [[(0, 100)], [(77, 78)]]
    assert (rejected.block, rejected.row, rejected.column) == (0, 77, None)
    assert "unable to parse" in rejected.reason
    assert len(set(good)) == 99


def test_a_body_that_is_too_large_is_halved() -> None:
    sizes: list[int] = []

    def answer(body: bytes) -> tuple[int, dict[str, str], str]:
        n = len(body.splitlines())
        if n > 30:
            return 413, {}, ""
        sizes.append(n)
        return 204, {}, ""

    with scripted(answer) as url:
        store = InfluxStore(InfluxOptions(url, api="v1", gzip=False), Kept())
        assert store.write([block(rows=100)], []) == []
        store.close()
    assert sum(sizes) == 100


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_says_when_to_come_again(status: int) -> None:
    with scripted(lambda _: (status, {"Retry-After": "7"}, "busy")) as url:
        for api in ("v1", "v2"):
            store = InfluxStore(InfluxOptions(url, api=api), Kept())
            with pytest.raises(StoreUnavailableError) as caught:
                store.write([block()], [])
            assert caught.value.retry_after_s == 7
            store.close()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_keeps_the_data_and_hints(status: int) -> None:
    with scripted(lambda _: (status, {}, '{"message":"unauthorized"}')) as url:
        store = InfluxStore(InfluxOptions(url, api="v2", token="secret"), Kept())
        with pytest.raises(StoreUnavailableError) as caught:
            store.write([block()], [])
        assert "token" in caught.value.hint
        assert "secret" not in repr(store.__dict__) + str(caught.value)
        store.close()


def test_nobody_listening_is_unavailable() -> None:
    with scripted(lambda _: (204, {}, "")) as url:
        pass
    for api in ("auto", "v1", "v2"):
        store = InfluxStore(InfluxOptions(url, api=api), Kept())
        with pytest.raises(StoreUnavailableError):
            store.write([block()], [])
        store.close()
