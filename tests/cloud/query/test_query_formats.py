"""A result in each format keeps names, nanoseconds, nulls and Chinese text."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from cloud.query.formats import from_answer, iso_time, render
from cloud.query.influxql import to_result
from cloud.query.result import QueryResult, ResultColumn, distinct_names

T = 1_700_000_000_123_456_789
RESULT = QueryResult(
    [
        ResultColumn("time", "timestamp_ns"),
        ResultColumn("device", "varchar"),
        ResultColumn("h2s", "double"),
        ResultColumn("n", "bigint"),
        ResultColumn("on", "boolean"),
    ],
    [[T, None], ["一号, 泵", None], [1.5, float("nan")], [2**62, None], [True, None]],
)


def test_json_is_an_array_of_objects() -> None:
    assert json.loads(render(RESULT, "json")) == [
        {
            "time": "2023-11-14T22:13:20.123456789",
            "device": "一号, 泵",
            "h2s": 1.5,
            "n": 2**62,
            "on": True,
        },
        {"time": None, "device": None, "h2s": None, "n": None, "on": None},
    ]
    assert len(render(RESULT, "jsonl").splitlines()) == 2


def test_csv_has_a_header_and_empty_cells() -> None:
    assert render(RESULT, "csv").decode().splitlines() == [
        "time,device,h2s,n,on",
        '2023-11-14T22:13:20.123456789,"一号, 泵",1.5,4611686018427387904,True',
        ",,,,",
    ]


def test_a_table_is_aligned() -> None:
    lines = render(RESULT, "table").decode().splitlines()
    assert lines[0].split() == ["time", "device", "h2s", "n", "on"]
    assert lines[1].endswith("true")


def test_parquet_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    path.write_bytes(render(RESULT, "parquet"))
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT epoch_ns(time), device, n, \"on\" FROM '{path}'"
        ).fetchall()
        types = [r[1] for r in connection.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
    assert rows == [(T, "一号, 泵", 2**62, True), (None, None, None, None)]
    assert types == ["TIMESTAMP_NS", "VARCHAR", "DOUBLE", "BIGINT", "BOOLEAN"]


def test_an_empty_result_has_its_columns_in_every_format() -> None:
    empty = QueryResult([ResultColumn("a", "double")], [[]])
    assert render(empty, "json") == b"[]"
    assert render(empty, "csv") == b"a\n"
    assert render(empty, "table") == b"a\n"
    assert render(empty, "parquet")[:4] == b"PAR1"


def test_a_result_survives_the_way_between_processes() -> None:
    again = from_answer(json.loads(json.dumps(RESULT.as_dict())))
    assert again.columns == RESULT.columns
    assert again.data[0] == RESULT.data[0]


def test_times_before_1970_and_whole_seconds_print_plainly() -> None:
    assert iso_time(-1) == "1969-12-31T23:59:59.999999999"
    assert iso_time(0) == "1970-01-01T00:00:00"
    assert iso_time(500_000_000) == "1970-01-01T00:00:00.5"


def test_influxql_series_become_columns() -> None:
    answer = {
        "results": [
            {
                "series": [
                    {
                        "name": "gas",
                        "tags": {"device": "a"},
                        "columns": ["time", "mean"],
                        "values": [[1, 2.5]],
                    },
                    {
                        "name": "gas",
                        "tags": {"device": "b"},
                        "columns": ["time", "mean"],
                        "values": [[1, None]],
                    },
                ]
            }
        ]
    }
    result = to_result(answer)
    assert [(c.name, c.type) for c in result.columns] == [
        ("device", "varchar"),
        ("time", "timestamp_ns"),
        ("mean", "double"),
    ]
    assert result.data == [["a", "b"], [1, 1], [2.5, None]]


def test_a_repeated_name_has_a_suffix() -> None:
    assert distinct_names(["a", "a", "b", "a"]) == ["a", "a_1", "b", "a_2"]
    assert distinct_names(["a", "a", "a_1", "a_1"]) == ["a", "a_2", "a_1", "a_1_1"]
