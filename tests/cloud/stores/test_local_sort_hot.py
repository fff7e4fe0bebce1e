"""Hot rows in the order of their series: the same rows whatever comes beside it, also when the process dies on the way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from cloud.query.line_protocol import parse
from cloud.stores import Block, Column
from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import T0, block
from tests.dying import Step, dies_at
from tocsin.errors import StoreError

SECOND = 10**9
HOUR = 3600 * SECOND
MINUTES, DEVICES = 600, 50
LATER = T0 + 11 * HOUR
ALL = "SELECT * FROM gas ORDER BY device, time"
BY_PLACE = "SELECT device, time FROM recent.gas ORDER BY rowid"


def minute(n: int) -> list[Block]:
    """What every device says in one minute: rows as they arrive."""
    return [
        block({"h2s": Column("f", np.array([n + 0.5]))}, f"gas-{d:02d}", rows=1, first=60 * n)
        for d in range(DEVICES)
    ]


def filled(directory: Path) -> LocalStore:
    """Ten hours of fifty devices, once a minute."""
    store = LocalStore(directory)
    for hour in range(10):
        store.write([b for n in range(60 * hour, 60 * hour + 60) for b in minute(n)], [])
    return store


def rows(store: LocalStore, sql: str = ALL) -> list[tuple[Any, ...]]:
    return list(zip(*store.query(sql).data, strict=True))


def by_place(directory: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(directory / "hot.duckdb"), read_only=True) as file:
        return file.execute(BY_PLACE).fetchall()


def test_rows_come_to_lie_by_device_and_stay_the_same(tmp_path: Path) -> None:
    store = filled(tmp_path)
    before = rows(store)
    assert store.sort_hot(LATER, rows=10_000) == 30_000
    assert store.sort_hot(LATER, rows=10_000) == 0, "each window once"
    assert rows(store) == before
    store.write(minute(5), [])  # late ones lie where they came
    store.write(minute(MINUTES), [])
    assert store.sort_hot(LATER, rows=10_000) == 0, "too few"
    store.close()
    placed = by_place(tmp_path)
    for n in range(3):
        window = placed[10_000 * n : 10_000 * n + 10_000]
        assert window == sorted(window)
    store = LocalStore(tmp_path)
    assert len(rows(store)) == len(before) + 2 * DEVICES
    assert store.sort_hot(LATER, rows=10_000) == 0, "also after a start"
    store.roll_over(T0 + 1000 * HOUR)
    assert len(rows(store)) == len(before) + 2 * DEVICES
    store.close()


def test_the_engine_passes_over_what_cannot_hold_the_device(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for n in range(20):
        blocks = [
            block(device=f"gas-{d:02d}", rows=500, first=500 * n, step_ns=SECOND)
            for d in range(DEVICES)
        ]
        store.write(blocks, [])

    def scanned() -> int:
        store.close()
        with duckdb.connect(str(tmp_path / "hot.duckdb"), read_only=True) as file:
            lines = file.execute(
                "EXPLAIN ANALYZE SELECT sum(h2s) FROM recent.gas WHERE device = 'gas-07'"
            ).fetchall()[0][1]
        (line,) = (line for line in lines.splitlines() if "Row Groups Scanned" in line)
        return int(line.split(":")[1].split("/")[0])

    assert scanned() >= 4
    store = LocalStore(tmp_path)
    assert store.sort_hot(LATER, rows=500_000) == 500_000
    assert scanned() <= 2


def test_what_comes_while_rows_are_sorted_is_kept(tmp_path: Path) -> None:
    store = filled(tmp_path)
    before = len(rows(store))
    place = f"gas,site=north,device=gas-07 h2s=99 {T0}"
    steps: list[str] = []

    def step(name: str) -> None:
        steps.append(name)
        if name == "written" and steps.count("written") == 1:
            store.write(minute(3), [])
            assert store.write_points(parse(place)[0], T0)[0] == 1

    assert store.sort_hot(LATER, step, rows=30_000) >= 30_000
    assert steps == ["written", "written", "deleted", "committed"], "copied again after the value"
    assert len(rows(store)) == before + DEVICES
    asked = f"SELECT h2s FROM gas WHERE device = 'gas-07' AND time = make_timestamp_ns({T0})"
    assert rows(store, asked) == [(99.0,)]
    store.close()


def test_rows_that_change_each_time_stay_as_they_are(tmp_path: Path) -> None:
    store = filled(tmp_path)

    def step(name: str) -> None:
        if name == "written":
            store.write_points(parse(f"gas,site=north,device=gas-07 h2s=99 {T0}")[0], T0)

    with pytest.raises(StoreError, match="while they were copied"):
        store.sort_hot(LATER, step, rows=30_000)
    assert len(rows(store)) == MINUTES * DEVICES
    store.close()


def test_a_column_that_comes_while_rows_are_sorted_does_not_put_it_off(tmp_path: Path) -> None:
    store = filled(tmp_path)
    came: list[object] = []

    def step(name: str) -> None:
        if name == "written" and not came:
            came.append(store.write([block({"o2": Column("f", np.ones(3))}, first=10**6)], []))

    assert store.sort_hot(LATER, step, rows=30_000) == 30_000
    assert rows(store, "SELECT count(*), count(o2) FROM gas") == [(MINUTES * DEVICES + 3, 3)]
    store.close()


def test_writing_goes_on_while_rows_are_sorted(tmp_path: Path) -> None:
    store = filled(tmp_path)
    done = threading.Event()

    def sort() -> None:
        try:
            assert store.sort_hot(LATER, rows=3000) == 30_000
        finally:
            done.set()

    thread = threading.Thread(target=sort)
    thread.start()
    n = MINUTES + 3600
    while not done.is_set():
        store.write(minute(n), [])
        n += 1
    thread.join()
    assert n > MINUTES + 3600
    due = (n - 3600) * DEVICES
    asked = "SELECT count(*), count(DISTINCT (device, time)) FROM gas"
    assert rows(store, asked) == [(due, due)]
    store.close()


def sorting(directory: Path, now_ns: int, step: Step) -> None:
    LocalStore(directory).sort_hot(now_ns, step, rows=10_000)


def test_a_kill_at_any_step_neither_loses_nor_doubles_a_row(tmp_path: Path) -> None:
    store = filled(tmp_path)
    before = rows(store)
    store.close()
    for point in ("written", "deleted", "committed"):
        assert dies_at(point, sorting, tmp_path, LATER)
        store = LocalStore(tmp_path)
        assert rows(store) == before, point
        store.close()
    store = LocalStore(tmp_path)
    assert store.sort_hot(LATER, rows=10_000) == 20_000, "the first window was committed"
    assert rows(store) == before
    store.close()
