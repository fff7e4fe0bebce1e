"""No query builds a text inside one row that memory and time limits would not see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloud.query.growth import MAX_JOINS
from cloud.query.result import Limits
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import block
from tocsin.errors import QueryError, QueryReason

_X = "'" + "x" * 100 + "'"


def _doubled(times: int, step: str, source: str) -> str:
    for _ in range(times):
        source = f"SELECT {step} AS s FROM ({source})"
    return f"SELECT max(length(s)) FROM ({source})"


def _doubled_by_cte(times: int) -> str:
    parts = [f"t0 AS (SELECT {_X} AS s)"]
    parts += [f"t{i} AS (SELECT s || s AS s FROM t{i - 1})" for i in range(1, times + 1)]
    return f"WITH {', '.join(parts)} SELECT length(s) FROM t{times}"


ATTACKS = {
    "replace": f"SELECT length(replace(replace('{'x' * 50}', 'x', s), 'x', s)) FROM (SELECT {_X} AS s)",
    "regexp_replace": f"SELECT regexp_replace(s, 'x', s, 'g') FROM (SELECT {_X} AS s)",
    "|| in sub-selects": _doubled(30, "s || s", f"SELECT {_X} AS s FROM range(5000)"),
    "concat in sub-selects": _doubled(9, "concat(s, s)", f"SELECT {_X} AS s"),
    "one long concat": f"SELECT concat({', '.join(['device'] * 10)}) FROM gas",
    "concat_ws": _doubled(5, "concat_ws(s, s, s)", f"SELECT {_X} AS s"),
    "CTEs": _doubled_by_cte(30),
    "a recursive CTE": "WITH RECURSIVE t AS (SELECT 'x' s, 0 i UNION ALL SELECT s || s, i + 1 FROM t WHERE i < 31)"
    " SELECT max(length(s)) FROM t",
    "lists": _doubled(20, "[s, s]", "SELECT 'x' AS s"),
    "quoted lists": _doubled(20, "[s]::VARCHAR", "SELECT '''' AS s"),
    "structs": _doubled(20, "{'a': s, 'b': s}", "SELECT 'x' AS s"),
    "bits": f"SELECT length({_X}::BLOB::BIT::VARCHAR::BLOB::BIT::VARCHAR)",
    "whole rows": "SELECT t::VARCHAR FROM (SELECT device AS a, device AS b FROM gas) AS t",
    "whole rows without a name": "SELECT unnamed_subquery::VARCHAR FROM (SELECT device FROM gas)",
    "whole rows of a CTE": "WITH t AS (SELECT device FROM gas) SELECT t::VARCHAR FROM t",
    "every column at once": "SELECT concat(*COLUMNS(*)) FROM gas",
    "every column in a row": "SELECT row(g.*) FROM gas AS g",
    "running lists": "SELECT list(s) OVER (ORDER BY range) FROM (SELECT range, 'x' AS s FROM range(100))",
    "joined and then doubled": f"SELECT s || s FROM (SELECT string_agg({_X}, '') AS s FROM range(100))",
    "ARRAY and then doubled": "SELECT ARRAY(SELECT device FROM gas)::VARCHAR || 'x'",
    "the many greatest": "SELECT max(device, 100000) || 'x' FROM gas",
    "the same quantile often": "SELECT quantile_disc(device, [0.1, 0.2, 0.3]) FROM gas",
    "groups of one expression": "SELECT regexp_extract(device, '((.*))', ['a', 'b']) FROM gas",
    "a long literal": f"SELECT '{'x' * 1025}'",
    "a long name": f'SELECT 1 AS "{"x" * 1025}"',
    "a computed time format": "SELECT strftime(time, device) FROM gas",
    "a long time format": f"SELECT strftime(time, '{'%c' * 50}') FROM gas",
    "columns of one another": f"SELECT h2s AS h0{''.join(f', h{i} + h{i} AS h{i + 1}' for i in range(30))} FROM gas",
    "a plan that doubles": "WITH t AS NOT MATERIALIZED (SELECT 1 AS x) SELECT x FROM t",
    "json paths": """SELECT '{"a": 1}' -> ['$', '$']""",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    opened = LocalStore(tmp_path_factory.mktemp("growth"), LocalOptions(memory_mb=128, spill_mb=16))
    opened.write([block()], [])
    yield opened
    opened.close()


@pytest.mark.parametrize("sql", ATTACKS.values(), ids=ATTACKS)
def test_a_text_that_grows_inside_a_row_is_refused(store: LocalStore, sql: str) -> None:
    with pytest.raises(QueryError) as caught:
        store.query(sql, Limits(timeout_s=5))
    assert caught.value.reason is QueryReason.FORBIDDEN, caught.value.message


def test_the_message_names_the_bound(store: LocalStore) -> None:
    with pytest.raises(QueryError, match=f"more than {MAX_JOINS} concatenations"):
        store.query(_doubled(MAX_JOINS + 1, "s || s", "SELECT 'x' AS s"))
    assert store.query(_doubled(MAX_JOINS, "s || s", "SELECT 'x' AS s")).data == [[2**MAX_JOINS]]


def test_a_long_parameter_is_refused(store: LocalStore) -> None:
    with pytest.raises(QueryError, match="1024 bytes"):
        store.query("SELECT count(*) FROM gas WHERE device = $d", params={"d": "x" * 2000})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT device || '/' || site FROM gas",
        "SELECT concat(device, ' at ', site), concat_ws(', ', site, device) FROM gas",
        "SELECT device, string_agg(site, ', '), list(h2s), array_agg(time) FROM gas GROUP BY device",
        "SELECT ARRAY(SELECT DISTINCT device FROM gas)",
        "SELECT unnest(['gas-01', 'gas-02']) AS device",
        "SELECT strftime(time, '%Y-%m-%d %H:%M'), upper(device), max(h2s) FROM gas GROUP BY ALL",
        "SELECT max_by(device, h2s), min(h2s), quantile_cont(h2s, 0.9), count(*) FROM gas",
        "SELECT regexp_extract(device, '([a-z]+)-([0-9]+)', 2), device IN ('a', 'b', 'c', 'd') FROM gas",
        "SELECT h2s::INT, h2s::DECIMAL(10, 2), time::TIMESTAMPTZ, device::VARCHAR(9), 1::UINTEGER FROM gas",
        "SELECT CAST(h2s AS DOUBLE PRECISION), CAST('2026-01-01' AS TIMESTAMP WITH TIME ZONE) FROM gas",
        "SELECT t.device, range FROM gas AS t, range(3)",
        "SELECT gas.h2s FROM gas",
        "SELECT h2s * 2 AS twice, twice + 1 AS more, more - twice AS one FROM gas",
    ],
)
def test_an_ordinary_text_is_let_through(store: LocalStore, sql: str) -> None:
    assert store.query(sql).rows > 0
