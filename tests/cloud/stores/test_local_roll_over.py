"""Days move from the hot file to Parquet without losing or doubling a row, also when the process dies on the way."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from cloud.query.line_protocol import parse
from cloud.stores import Column, LedgerEntry
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import STREAM, T0, block
from tests.dying import Step, dies_at
from tocsin.errors import QueryError
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until_sync

HOUR = 3600 * 10**9
LATER = T0 + 1000 * HOUR
ONE_HOUR = LocalOptions(hot_hours=1)


class At(SystemClock):
    """A clock that shows one time."""

    def __init__(self, now_ns: int) -> None:
        self.wall_ns = now_ns

    def now_ns(self) -> int:
        return self.wall_ns


def cold_files(directory: Path) -> list[str]:
    return sorted(
        str(p.relative_to(directory)) for p in (directory / "cold").rglob("*") if p.is_file()
    )


def test_hot_and_cold_rows_are_one_table(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, ONE_HOUR)
    store.write([block(rows=60, step_ns=HOUR)], [LedgerEntry("gw-1", STREAM, 0, 60)])
    before = store.query("SELECT * FROM gas ORDER BY time")
    rolled = store.roll_over(T0 + 40 * HOUR)
    assert sum(r.rows for r in rolled) == 39  # T0 is 22:13, whole hours move
    assert cold_files(tmp_path) == [
        "cold/gas/2023-11-14.000.parquet",
        "cold/gas/2023-11-15.000.parquet",
        "cold/gas/2023-11-16.000.parquet",
    ]
    assert store.query("SELECT * FROM gas ORDER BY time").data == before.data
    assert store.query("SELECT device, max(h2s) FROM gas GROUP BY device").data == [
        ["gas-01"],
        [59.5],
    ]
    assert store.roll_over(T0 + 40 * HOUR) == []
    store.close()


def test_a_column_that_came_later_is_null_in_older_files(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, ONE_HOUR)
    store.write([block()], [])
    store.roll_over(LATER)
    store.write([block({"co": Column("f", np.ones(3))}, first=10)], [])
    assert store.query("SELECT count(*), count(h2s), count(co) FROM gas").data == [[6], [3], [3]]
    store.roll_over(LATER)
    assert store.query("SELECT count(*), count(h2s), count(co) FROM gas").data == [[6], [3], [3]]
    store.close()


def test_a_question_about_one_month_opens_no_file_of_another(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, ONE_HOUR)
    store.write([block(rows=40, step_ns=24 * HOUR)], [])
    store.roll_over(T0 + 2000 * HOUR)
    (tmp_path / "cold/gas/2023-11-20.000.parquet").write_bytes(b"no longer readable")
    december = "SELECT count(*) FROM gas WHERE time >= TIMESTAMP '2023-12-01'"
    assert store.query(december).data == [[23]]
    with pytest.raises(QueryError, match=r"2023-11-20\.000\.parquet"):
        store.query("SELECT sum(h2s) FROM gas WHERE time < TIMESTAMP '2023-12-01'")
    store.close()


def test_a_column_that_comes_while_a_day_moves_does_not_stop_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, ONE_HOUR)
    store.write([block()], [])
    came: list[str] = []

    def step(name: str) -> None:
        if name == "renamed" and not came:
            came.append(name)
            store.write([block({"co": Column("f", np.ones(3))}, first=10)], [])

    assert [rolled.rows for rolled in store.roll_over(LATER, step)] == [6]
    assert store.query("SELECT count(*), count(h2s), count(co) FROM gas").data == [[6], [3], [3]]
    store.close()


def test_rows_that_arrive_late_make_another_file_of_their_day(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, ONE_HOUR)
    for first in (0, 3):
        store.write([block(first=first)], [])
        store.roll_over(LATER)
    assert cold_files(tmp_path) == [
        "cold/gas/2023-11-14.000.parquet",
        "cold/gas/2023-11-14.001.parquet",
    ]
    assert store.query("SELECT count(*), count(DISTINCT time) FROM gas").data == [[6], [6]]
    store.close()


def test_the_store_rolls_over_by_itself_when_given_a_clock(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, LocalOptions(hot_hours=1, roll_interval_s=0.01))
    store.write([block()], [])
    store.keep_rolling(At(LATER))
    wait_until_sync(lambda: len(cold_files(tmp_path)) == 1)
    store.close()


def test_the_directory_can_move_and_the_hot_file_can_be_lost(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "a", ONE_HOUR)
    store.write([block()], [])
    store.roll_over(LATER)
    store.close()
    shutil.move(tmp_path / "a", tmp_path / "b")
    store = LocalStore(tmp_path / "b", ONE_HOUR)
    assert store.query("SELECT sum(h2s) FROM gas").data == [[4.5]]
    store.close()
    (tmp_path / "b" / "hot.duckdb").unlink()
    store = LocalStore(tmp_path / "b", ONE_HOUR)
    assert store.query("SELECT sum(h2s), max(device) FROM gas").data == [[4.5], ["gas-01"]]
    store.close()


def test_writing_goes_on_while_days_move(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, ONE_HOUR)
    store.write([block(rows=200_000, step_ns=10**8)], [])
    done = threading.Event()

    def roll() -> None:
        store.roll_over(LATER)
        done.set()

    thread = threading.Thread(target=roll)
    thread.start()
    first = 200_000
    while not done.is_set():
        store.write([block(rows=10, first=first, step_ns=10**8)], [])
        first += 10
    thread.join()
    assert first > 200_000
    counted = store.query("SELECT count(*), count(DISTINCT seq), count(DISTINCT time) FROM gas")
    assert counted.data == [[first], [first], [first]]
    store.close()


def test_a_value_that_comes_into_a_row_while_its_day_moves_is_kept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, ONE_HOUR)
    store.write([block(rows=3)], [])
    early, late = (
        parse(f"gas,site=north,device=gas-01 o2={o2} {t}")[0]
        for o2, t in ((20.8, T0 + 10**9), (20.9, T0))
    )
    store.write_points(early, T0)
    came: list[object] = []

    def step(name: str) -> None:
        if name == "copied" and not came:
            came.append(store.write_points(late, T0))

    assert sum(r.rows for r in store.roll_over(LATER, step)) == 3
    assert came == [(1, [])]
    assert store.query("SELECT o2, h2s FROM gas ORDER BY time").data == [
        [20.9, 20.8, None],
        [0.5, 1.5, 2.5],
    ]
    assert len(cold_files(tmp_path)) == 1
    store.close()


def rolling_over(directory: Path, now_ns: int, step: Step) -> None:
    LocalStore(directory, ONE_HOUR).roll_over(now_ns, step)


@pytest.mark.parametrize("point", ["copied", "renamed", "deleted", "committed"])
def test_a_kill_at_any_step_neither_loses_nor_doubles_a_row(tmp_path: Path, point: str) -> None:
    store = LocalStore(tmp_path, ONE_HOUR)
    store.write([block(rows=60, step_ns=HOUR)], [])
    before = store.query("SELECT * FROM gas ORDER BY time").data
    store.close()
    assert dies_at(point, rolling_over, tmp_path, LATER)
    store = LocalStore(tmp_path, ONE_HOUR)
    assert store.query("SELECT * FROM gas ORDER BY time").data == before
    assert len(cold_files(tmp_path)) == (1 if point == "committed" else 0)
    store.roll_over(LATER)
    assert store.query("SELECT * FROM gas ORDER BY time").data == before
    assert len(cold_files(tmp_path)) == 4
    store.close()


WRITE = """
import sys
from pathlib import Path
from cloud.stores import LedgerEntry
from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import STREAM, block
store = LocalStore(Path(sys.argv[1]))
first = 0
while True:
    store.write([block(first=first, rows=50)], [LedgerEntry("gw-1", STREAM, first, first + 50)])
    first += 50
    print(first, flush=True)
"""


def test_everything_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    acknowledged = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            acknowledged = int(line)
            if acknowledged >= 2000:
                child.kill()
    store = LocalStore(tmp_path)
    (count,), (distinct,), (last,) = store.query(
        "SELECT count(*), count(DISTINCT seq), max(seq) FROM gas"
    ).data
    assert isinstance(count, int)
    assert isinstance(last, int)
    assert count >= acknowledged
    assert distinct == count == last + 1
    settled, _ = store.ledger()["gw-1", STREAM]
    assert list(settled) == [(0, count)]
    store.close()
