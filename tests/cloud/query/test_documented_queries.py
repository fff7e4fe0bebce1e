"""Every SQL example of the docs means the same on the embedded store and on InfluxDB 3's engine."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datafusion
import duckdb
import numpy as np
import pytest

from cloud.query.functions import ALLOWED
from cloud.stores import Block, Column
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.store import LocalStore

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])
EXAMPLES = [
    pytest.param(sql.strip(), id=f"{page.stem}-{n}")
    for page in PAGES
    if page.exists()
    for n, sql in enumerate(re.findall(r"```sql\n(.*?)```", page.read_text("utf-8"), re.S))
]
HOUR = 3600 * 10**9
ROWS = 180


def blocks() -> list[Block]:
    """Three hours of five devices; one value a minute, some missing, some bad."""
    now = time.time_ns()
    stamps = now - np.arange(ROWS)[::-1] * 60 * 10**9 - 30 * 10**9
    wave = np.round(5 + 4 * np.sin(np.arange(ROWS) / 7), 3)
    valid = np.arange(ROWS) % 11 != 0
    quality = np.where(valid, np.where(wave > 8.5, 65, 0), 69).astype(np.uint8)

    def make(measurement: str, device: str, columns: dict[str, Column]) -> Block:
        return Block(
            measurement, "north", device, "gw-1", "01ARZ3NDEKTSV4RRFFQ69G5FAV", np.arange(ROWS), stamps, columns,
            source_ns=stamps - 5,
        )  # fmt: skip

    h2s = Column("f", wave, valid, quality)
    o2 = Column("f", 20.9 - wave / 100)
    position = {
        "lat": Column("f", 32.0 + wave / 1000, valid),
        "lon": Column("f", 118.0 + wave / 1000, valid),
        "speed": Column("f", wave),
    }
    counter = Column("f", np.arange(ROWS) * 0.2)
    numbers = Column("i", np.arange(ROWS))
    evicted = {
        "class": Column("s", np.full(ROWS, "telemetry", object)),
        "lost_stream": Column("s", np.full(ROWS, "01ARZ3NDEKTSV4RRFFQ69G5FAV", object)),
        "reason": Column("s", np.full(ROWS, "evicted", object)),
        **dict.fromkeys(("first_seq", "end_seq", "rows", "until_ns"), numbers),
    }
    return [
        make("gap", "gas-01", evicted),
        make("gas", "gas-01", {"h2s": h2s, "o2": o2}),
        make("gas", "gas-02", {"h2s": Column("f", wave * 0.5), "o2": o2}),
        make("vehicle", "pump-1", position),
        make("weather", "rain-1", {"rain_total": counter, "temperature": o2}),
        make("water", "river-1", {"level": Column("f", wave / 2)}),
    ]


@pytest.fixture(scope="module")
def engines(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LocalStore, datafusion.SessionContext]]:
    """The same rows in both engines; in the store, the older ones are cold."""
    store = LocalStore(tmp_path_factory.mktemp("store"), LocalOptions(hot_hours=1))
    store.write(blocks(), [])
    exported = tmp_path_factory.mktemp("export")
    context = datafusion.SessionContext()
    for name in store.measurements():
        target = exported / f"{name}.parquet"
        target.write_bytes(_as_parquet(store, name))
        context.register_parquet(name, str(target))
    assert store.roll_over(time.time_ns())
    yield store, context
    store.close()


def _as_parquet(store: LocalStore, name: str) -> bytes:
    from cloud.query.formats import render

    return render(store.query(f'SELECT * FROM "{name}"'), "parquet")


def normal(cell: Any) -> Any:
    if cell is None or isinstance(cell, str | bool):
        return cell
    if isinstance(cell, float):
        return round(cell, 9)
    return int(cell)


@pytest.mark.parametrize("sql", EXAMPLES)
def test_a_documented_query_gives_equal_results(
    engines: tuple[LocalStore, datafusion.SessionContext], sql: str
) -> None:
    store, context = engines
    ours = store.query(sql)
    table = context.sql(sql).to_arrow_table()
    theirs = []
    for column in table.columns:
        if "timestamp" in str(column.type):
            column = column.cast("timestamp[ns]").cast("int64")
        theirs.append([normal(cell) for cell in column.to_pylist()])
    assert ours.rows > 0
    assert [c.name for c in ours.columns] == table.column_names
    assert [[normal(cell) for cell in column] for column in ours.data] == theirs


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 10


def test_the_pages_mention_every_setting_option_and_reason() -> None:
    from cloud.query_command import query
    from tocsin.errors import QueryReason

    store_page = (ROOT / "docs/reference/store.md").read_text("utf-8")
    assert all(f"| `{name}` |" in store_page for name in LocalOptions.model_fields)
    query_page = (ROOT / "docs/reference/query.md").read_text("utf-8")
    assert all(f"`{reason.value}`" in query_page for reason in QueryReason)
    spelt = {"form": "format", "as_json": "json", "target": "output", "text": "SELECT"}
    for name in query.__annotations__:
        if name != "return":
            assert spelt.get(name, name.replace("_", "-")) in query_page, name


def test_every_function_on_the_list_exists_in_duckdb() -> None:
    with duckdb.connect() as connection:
        known = {
            r[0]
            for r in connection.execute("SELECT function_name FROM duckdb_functions()").fetchall()
        }
    made_here = {"date_bin", "count_star"}
    assert sorted(f for f in ALLOWED if f not in known | made_here and f.isidentifier()) == []
