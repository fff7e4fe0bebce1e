"""What the query door lets through, and every way around it that we could think of."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import numpy as np
import pytest

from cloud.query.formats import render
from cloud.query.result import Limits
from cloud.stores import Block, Column, LedgerEntry
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.store import LocalStore
from tocsin.errors import QueryError, QueryReason

STREAM = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
NOW = 1_700_000_000_000_000_000


def rows(first: int, n: int, device: str = "gas-01") -> Block:
    return Block(
        "gas",
        "north",
        device,
        "gw-1",
        STREAM,
        np.arange(first, first + n),
        NOW + np.arange(first, first + n) * 1_000_000,
        {"h2s": Column("f", np.arange(n, dtype=np.float64))},
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    opened = LocalStore(tmp_path_factory.mktemp("store"), LocalOptions(memory_mb=128, spill_mb=16))
    opened.write([rows(0, 1000), rows(0, 500, "gas-02")], [LedgerEntry("gw-1", STREAM, 0, 1000)])
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select device, max(h2s) from gas group by device;",
        "FROM gas SELECT h2s LIMIT 1",
        "WITH a AS (SELECT * FROM gas), b AS (SELECT * FROM a) SELECT count(*) FROM b",
        "SELECT date_bin(INTERVAL '1 minute', time) m, avg(h2s) FROM gas GROUP BY m ORDER BY m",
        "SELECT time, h2s, lag(h2s) OVER (PARTITION BY device ORDER BY time) FROM gas",
        "SELECT * FROM gas WHERE device IN (SELECT device FROM gas WHERE h2s > 3) LIMIT 3",
        "SELECT g.device FROM gas g JOIN gas h USING (time) LIMIT 1",
        "SELECT CASE WHEN h2s > 1 THEN 'a' ELSE 'b' END, h2s BETWEEN 1 AND 2, device LIKE 'g%' FROM gas",
        "SELECT 1 UNION ALL SELECT 2",
        "WITH RECURSIVE t AS (SELECT 1 i UNION ALL SELECT i + 1 FROM t WHERE i < 5) SELECT sum(i) FROM t",
        "SELECT * FROM range(5)",
        "SELECT * FROM generate_series(TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-02', INTERVAL 1 HOUR)",
        "SELECT count(*) FROM gas JOIN generate_series(1, 3) AS g(n) ON h2s > n",
        "SELECT unnest([1, 2])",
        "VALUES (1), (2)",
        "SHOW TABLES",
        "DESCRIBE gas",
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'gas'",
        "SELECT time FROM gas WHERE time > now() - INTERVAL '1 hour'",
        "SELECT EXTRACT(hour FROM time), time::DATE FROM gas LIMIT 1",
        "SELECT DISTINCT device FROM main.gas -- which devices",
        "/* first */ SELECT 1 /* last */",
        "SELECT count(*) FILTER (WHERE h2s > 2) FROM gas",
        "SELECT DISTINCT ON (device) device, time, h2s FROM gas ORDER BY device, time DESC",
        "SELECT last(h2s ORDER BY time) FROM gas",
    ],
)
def test_a_reader_may(store: LocalStore, sql: str) -> None:
    store.query(sql)


ESCAPES = {
    "SELECT * FROM '/etc/passwd'": QueryReason.UNKNOWN_NAME,
    'SELECT * FROM "/etc/passwd.csv"': QueryReason.UNKNOWN_NAME,
    "SELECT * FROM read_csv('/etc/passwd')": QueryReason.FORBIDDEN,
    "SELECT * FROM read_text('/etc/passwd')": QueryReason.FORBIDDEN,
    "SELECT * FROM read_blob('/etc/passwd')": QueryReason.FORBIDDEN,
    "SELECT * FROM read_parquet('*.parquet')": QueryReason.FORBIDDEN,
    "SELECT * FROM parquet_scan('*.parquet')": QueryReason.FORBIDDEN,
    "SELECT * FROM parquet_metadata('x')": QueryReason.FORBIDDEN,
    "SELECT * FROM read_json_auto('x')": QueryReason.FORBIDDEN,
    "SELECT * FROM sniff_csv('/etc/passwd')": QueryReason.FORBIDDEN,
    "SELECT * FROM glob('/*')": QueryReason.FORBIDDEN,
    "SELECT getenv('HOME')": QueryReason.FORBIDDEN,
    "SELECT main.getenv('HOME')": QueryReason.FORBIDDEN,
    "SELECT 'HOME'.getenv()": QueryReason.FORBIDDEN,
    "SELECT * REPLACE (getenv('HOME') AS h2s) FROM gas": QueryReason.FORBIDDEN,
    "SELECT h2s FROM gas ORDER BY getenv('HOME')": QueryReason.FORBIDDEN,
    "SELECT h2s FROM gas LIMIT (SELECT getenv('HOME'))": QueryReason.FORBIDDEN,
    "SELECT sum(h2s) FILTER (WHERE getenv('x') = '') FROM gas": QueryReason.FORBIDDEN,
    "SELECT sum(h2s) OVER (ORDER BY getenv('x')) FROM gas": QueryReason.FORBIDDEN,
    "VALUES (getenv('HOME'))": QueryReason.FORBIDDEN,
    "WITH x AS (SELECT getenv('HOME')) SELECT * FROM x": QueryReason.FORBIDDEN,
    "SELECT * FROM (SELECT getenv('HOME'))": QueryReason.FORBIDDEN,
    "SELECT 1 WHERE EXISTS (SELECT getenv('HOME'))": QueryReason.FORBIDDEN,
    "SELECT (SELECT 1 FROM glob('/*'))": QueryReason.FORBIDDEN,
    "SELECT 1 UNION SELECT 2 FROM glob('/*')": QueryReason.FORBIDDEN,
    "SELECT * FROM gas, glob('/*')": QueryReason.FORBIDDEN,
    "SELECT * FROM gas JOIN read_text('/etc/passwd') ON true": QueryReason.FORBIDDEN,
    "DESCRIBE SELECT * FROM read_csv('/etc/passwd')": QueryReason.FORBIDDEN,
    "SUMMARIZE SELECT getenv('HOME')": QueryReason.FORBIDDEN,
    "SELECT * FROM query('SELECT 1')": QueryReason.FORBIDDEN,
    "SELECT * FROM query_table('gas')": QueryReason.FORBIDDEN,
    "SELECT * FROM json_execute_serialized_sql('{}')": QueryReason.FORBIDDEN,
    "SELECT * FROM duckdb_settings()": QueryReason.FORBIDDEN,
    "SELECT * FROM duckdb_secrets()": QueryReason.FORBIDDEN,
    "SELECT * FROM pragma_database_size()": QueryReason.FORBIDDEN,
    "SELECT * FROM checkpoint()": QueryReason.FORBIDDEN,
    "SELECT * FROM force_checkpoint()": QueryReason.FORBIDDEN,
    "SELECT * FROM enable_logging()": QueryReason.FORBIDDEN,
    "SELECT write_log('x')": QueryReason.FORBIDDEN,
    "SELECT nextval('s')": QueryReason.FORBIDDEN,
    "SELECT setseed(0.5)": QueryReason.FORBIDDEN,
    "SELECT current_setting('temp_directory')": QueryReason.FORBIDDEN,
    "SELECT sleep_ms(100000)": QueryReason.FORBIDDEN,
    "SELECT pg_sleep(100)": QueryReason.FORBIDDEN,
    "SELECT repeat('x', 1000000000)": QueryReason.FORBIDDEN,
    "SELECT lpad('x', 1000000000, 'x')": QueryReason.FORBIDDEN,
    "SELECT format('{:>1000000000}', 'x')": QueryReason.FORBIDDEN,
    "SELECT error('x')": QueryReason.FORBIDDEN,
    "SELECT list_transform([1], lambda x: getenv('HOME'))": QueryReason.FORBIDDEN,
    "SELECT * FROM recent.gas": QueryReason.FORBIDDEN,
    "SELECT * FROM meta.ledger": QueryReason.FORBIDDEN,
    "SELECT * FROM hot.meta.cold": QueryReason.FORBIDDEN,
    "SELECT * FROM pg_catalog.pg_settings": QueryReason.FORBIDDEN,
    "SELECT * FROM duckdb_tables": QueryReason.UNKNOWN_NAME,
    "SELECT * FROM sqlite_master": QueryReason.UNKNOWN_NAME,
    "SHOW DATABASES": QueryReason.WRONG_LANGUAGE,
    "SHOW ALL TABLES": QueryReason.FORBIDDEN,
    'WITH "/etc/passwd" AS (SELECT 1) SELECT * FROM "/etc/passwd"': QueryReason.UNKNOWN_NAME,
    "WITH x AS (INSERT INTO gas VALUES (1) RETURNING 1) SELECT * FROM x": QueryReason.FORBIDDEN,
    "WITH x AS (DELETE FROM gas RETURNING 1) SELECT * FROM x": QueryReason.FORBIDDEN,
    "COPY gas TO '/tmp/out.csv'": QueryReason.NOT_ONE_SELECT,
    "COPY (SELECT 1) TO '/tmp/out.csv'": QueryReason.NOT_ONE_SELECT,
    "EXPORT DATABASE '/tmp/out'": QueryReason.NOT_ONE_SELECT,
    "DROP VIEW gas": QueryReason.NOT_ONE_SELECT,
    "DELETE FROM recent.gas": QueryReason.NOT_ONE_SELECT,
    "UPDATE recent.gas SET h2s = 0": QueryReason.NOT_ONE_SELECT,
    "INSERT INTO recent.gas VALUES (1)": QueryReason.NOT_ONE_SELECT,
    "CREATE TABLE t AS SELECT 1": QueryReason.NOT_ONE_SELECT,
    "ATTACH '/tmp/x.db'": QueryReason.NOT_ONE_SELECT,
    "INSTALL httpfs": QueryReason.NOT_ONE_SELECT,
    "LOAD httpfs": QueryReason.NOT_ONE_SELECT,
    "SET memory_limit = '10GB'": QueryReason.NOT_ONE_SELECT,
    "PRAGMA database_list": QueryReason.NOT_ONE_SELECT,
    "CALL pragma_version()": QueryReason.NOT_ONE_SELECT,
    "SELECT range(50000000)": QueryReason.FORBIDDEN,
    "SELECT len(generate_series(1, 50000000))": QueryReason.FORBIDDEN,
    "SELECT * FROM unnest(range(50000000))": QueryReason.FORBIDDEN,
    "SELECT * FROM range(len(range(50000000)))": QueryReason.FORBIDDEN,
    "CHECKPOINT": QueryReason.NOT_ONE_SELECT,
    "EXPLAIN ANALYZE SELECT 1": QueryReason.NOT_ONE_SELECT,
    "PREPARE p AS SELECT 1": QueryReason.NOT_ONE_SELECT,
    "BEGIN": QueryReason.NOT_ONE_SELECT,
    "PIVOT gas ON device": QueryReason.NOT_ONE_SELECT,
    "": QueryReason.NOT_ONE_SELECT,
    "-- nothing": QueryReason.NOT_ONE_SELECT,
    "SELECT 1; SELECT 2": QueryReason.NOT_ONE_SELECT,
    "SELECT 1; DROP VIEW gas": QueryReason.NOT_ONE_SELECT,
    "SELECT 1 /* ; */; -- x\nDROP VIEW gas": QueryReason.NOT_ONE_SELECT,
    "SELECT 1\n) AS t; DROP VIEW gas; --": QueryReason.SYNTAX,
    "SELECT 1) t(c0), (SELECT getenv('HOME')": QueryReason.SYNTAX,
    "SELECT FROM WHERE": QueryReason.SYNTAX,
    "SELECT 1\x00": QueryReason.SYNTAX,
}


@pytest.mark.parametrize(("sql", "reason"), list(ESCAPES.items()))
def test_a_reader_may_not(store: LocalStore, sql: str, reason: QueryReason) -> None:
    with pytest.raises(QueryError) as caught:
        store.query(sql)
    assert caught.value.reason is reason, caught.value.message


def test_a_statement_ending_in_a_comment_cannot_swallow_the_limit(store: LocalStore) -> None:
    assert store.query("SELECT h2s FROM gas -- all", Limits(max_rows=7)).rows == 7


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("SHOW MEASUREMENTS", "InfluxQL"),
        ("SHOW FIELD KEYS FROM gas", "InfluxQL"),
        ("SELECT mean(h2s) FROM gas WHERE time > now() - 1h", "InfluxQL"),
        ("SELECT mean(h2s) FROM gas GROUP BY time(1m), device fill(none)", "InfluxQL"),
        ('from(bucket: "tocsin") |> range(start: -1h)', "Flux"),
    ],
)
def test_another_language_is_named(store: LocalStore, text: str, language: str) -> None:
    with pytest.raises(QueryError) as caught:
        store.query(text)
    assert caught.value.reason is QueryReason.WRONG_LANGUAGE
    assert language in caught.value.message


@pytest.mark.parametrize(
    ("sql", "near"),
    [
        ("SELECT h2ss FROM gas", "h2s"),
        ("SELECT h2s FROM gass", "gas"),
        ("SELECT averag(h2s) FROM gas", "avg"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(
    store: LocalStore, sql: str, near: str
) -> None:
    with pytest.raises(QueryError) as caught:
        store.query(sql)
    assert near in caught.value.hint


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(100000000) a, range(100000000) b",
        "WITH RECURSIVE t AS (SELECT 1 i UNION ALL SELECT i + 1 FROM t) SELECT count(*) FROM t",
        "SELECT * FROM range(1000000000000) WHERE range = -1",
    ],
)
def test_a_query_that_would_run_for_ever_is_stopped(store: LocalStore, sql: str) -> None:
    with pytest.raises(QueryError) as caught:
        store.query(sql, Limits(timeout_s=0.5))
    assert caught.value.reason in {QueryReason.TIME_LIMIT, QueryReason.MEMORY_LIMIT}


def test_a_query_that_needs_too_much_memory_is_stopped(store: LocalStore) -> None:
    with pytest.raises(QueryError) as caught:
        store.query(
            "SELECT list(a.range * b.range) FROM range(30000) a, range(30000) b", Limits(30)
        )
    assert caught.value.reason is QueryReason.MEMORY_LIMIT


def test_a_huge_result_is_cut_off_by_rows_and_by_bytes(store: LocalStore) -> None:
    by_rows = store.query("SELECT * FROM range(1000000000)", Limits(max_rows=5000))
    assert (by_rows.rows, by_rows.truncated) == (5000, True)
    by_bytes = store.query(
        "SELECT concat('" + "x" * 1000 + "', range) FROM range(100000)", Limits(max_bytes=1_000_000)
    )
    assert by_bytes.truncated
    assert by_bytes.rows < 5000


def test_columns_of_one_name_all_reach_the_answer(store: LocalStore) -> None:
    result = store.query("SELECT 1 AS a, 2 AS a, 3 AS b")
    assert json.loads(render(result, "json")) == [{"a": 1, "a_1": 2, "b": 3}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT TIMESTAMP '1600-01-01'",
        "SELECT DATE '1600-01-01'",
        "SELECT TIMESTAMPTZ '2500-01-01'",
        "SELECT count(*) FROM gas WHERE time > TIMESTAMP '2600-01-01'",
        "SELECT now() - INTERVAL '900 years'",
    ],
)
def test_a_time_that_nanoseconds_cannot_tell_is_named(store: LocalStore, sql: str) -> None:
    with pytest.raises(QueryError, match="outside 1677-09-22 to 2262-04-11"):
        store.query(sql)
    assert store.query("SELECT TIMESTAMP '1600-01-01'::VARCHAR").data == [["1600-01-01 00:00:00"]]


def test_parameters_are_values_and_never_sql(store: LocalStore) -> None:
    sql = "SELECT count(*) FROM gas WHERE device = $device"
    assert store.query(sql, params={"device": "gas-02"}).data == [[500]]
    assert store.query(sql, params={"device": "x' OR '1' = '1"}).data == [[0]]


def test_writing_goes_on_beside_a_long_query(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, LocalOptions(threads=1))
    store.write([rows(0, 10)], [])
    ended = threading.Event()

    def long_query() -> None:
        with pytest.raises(QueryError):
            store.query(
                "SELECT count(*) FROM range(10000000) a, range(10000000) b", Limits(timeout_s=2)
            )
        ended.set()

    thread = threading.Thread(target=long_query)
    thread.start()
    writes = 0
    while not ended.is_set():
        writes += 1
        store.write([rows(writes * 10, 10)], [])
        time.sleep(0.02)
    thread.join()
    assert writes > 5
    assert store.query("SELECT count(*) FROM gas").data == [[10 * writes + 10]]
    store.close()


def test_writing_finds_memory_by_stopping_a_greedy_query(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, LocalOptions(memory_mb=96, spill_mb=0, threads=1))
    store.write([rows(0, 10)], [])
    stop = threading.Event()

    def greedy() -> None:
        while not stop.is_set():
            with pytest.raises(QueryError):
                store.query("SELECT list(range) FROM range(100000000)", Limits(timeout_s=20))

    threads = [threading.Thread(target=greedy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for i in range(1, 21):
            assert store.write([rows(i * 1000, 1000)], []) == []
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert store.query("SELECT count(*) FROM gas").data == [[20_010]]
    store.close()


def test_a_write_is_stored_once_although_the_database_broke_under_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, LocalOptions())
    store.write([rows(0, 10)], [])
    tries: list[int] = []

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        tries.append(1)
        connection.execute("INSERT INTO recent.gas (time) VALUES (TIMESTAMP_NS '2026-01-01')")
        if len(tries) == 1:
            raise duckdb.FatalException("the database has been invalidated")

    store._transaction(work)
    assert len(tries) == 2
    assert store.query("SELECT count(*) FROM gas").data == [[11]]
    assert store.write([rows(20, 10)], []) == []
    assert store.query("SELECT count(*) FROM gas").data == [[21]]
    store.close()


def test_a_write_whose_transaction_was_aborted_is_tried_again_and_stored_once(
    tmp_path: Path,
) -> None:
    store = LocalStore(tmp_path, LocalOptions(memory_mb=96, spill_mb=0, threads=1))
    store.write([rows(0, 10)], [])
    tries: list[int] = []

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        tries.append(1)
        connection.execute("INSERT INTO recent.gas (time) VALUES (TIMESTAMP_NS '2026-01-01')")
        if len(tries) == 1:
            with suppress(duckdb.OutOfMemoryException):
                connection.execute("SELECT list(range) FROM range(100000000)").fetchall()

    store._transaction(work)
    assert len(tries) == 2
    assert store.query("SELECT count(*) FROM gas").data == [[11]]
    assert store.write([rows(20, 10)], []) == []
    store.close()
    again = LocalStore(tmp_path)
    assert again.query("SELECT count(*) FROM gas").data == [[21]]
    again.close()
