"""Days that are over: down-sampled, merged, deleted by policy; also when the process dies on the way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from cloud.audit.model import Deleted
from cloud.query.line_protocol import parse
from cloud.stores import Column, LedgerEntry
from cloud.stores.local import down_sample, merge, roll_over
from cloud.stores.local.clock_guard import ClockGuard
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.retention import MeasurementRetention, Retention, rule_of
from cloud.stores.local.store import LocalStore
from cloud.stores.local.taking_up import Found, newest, that_count
from tests.cloud.stores.blocks import STREAM, T0, block
from tests.cloud.stores.test_local_roll_over import At
from tests.dying import Step, dies_at
from tocsin.errors import StoreError, StoreUnavailableError
from tocsin.testing import wait_until_sync

SECOND = 10**9
HOUR = 3600 * SECOND
DAY = 24 * HOUR
DAY_0 = T0 // DAY * DAY
LATER = DAY_0 + 3 * DAY
KEPT = Retention(raw_days=10, minute_days=30, hour_days="forever")
POLICY = LocalOptions(hot_hours=1, retention=KEPT)


def cold_files(directory: Path) -> list[str]:
    cold = directory / "cold"
    return sorted(str(p.relative_to(cold)) for p in cold.rglob("*") if p.is_file())


def scattered(directory: Path, options: LocalOptions = POLICY) -> LocalStore:
    """A day in two files: 90 rows a second apart, of bad quality from 60 on."""
    store = LocalStore(directory, options)
    quality = np.where(np.arange(60, 90) >= 60, 65, 0).astype(np.uint8)
    store.write([block(rows=60)], [LedgerEntry("gw-1", STREAM, 0, 60)])
    store.roll_over(LATER)
    late = block({"h2s": Column("f", np.arange(60, 90) + 0.5, quality=quality)}, first=60, rows=30)
    store.write([late], [LedgerEntry("gw-1", STREAM, 60, 90)])
    store.roll_over(LATER)
    return store


def answer(store: LocalStore, sql: str) -> list[tuple[Any, ...]]:
    return list(zip(*store.query(sql).data, strict=True))


def test_bins_hold_what_is_not_bad_and_count_what_is(tmp_path: Path) -> None:
    store = scattered(tmp_path)
    store.look_after(LATER)
    found = answer(
        store,
        "SELECT time, device, h2s_mean, h2s_min, h2s_max, h2s_last, h2s_count, h2s_bad FROM gas_1m ORDER BY time",
    )
    before = 60 - T0 // SECOND % 60  # rows in the first minute
    first = T0 // (60 * SECOND) * 60 * SECOND
    assert found[0] == (first, "gas-01", before / 2, 0.5, before - 0.5, before - 0.5, before, 0)  # fmt: skip
    assert sum(row[6] for row in found) == 60
    assert sum(row[7] for row in found) == 30
    assert found[1][2:] == (50.0, 40.5, 59.5, 59.5, 20, 30)
    assert answer(store, "SELECT h2s_mean, h2s_count, h2s_bad FROM gas_1h") == [(30.0, 60, 30)]
    store.close()


def test_a_quiet_day_is_merged_and_its_bins_stay_as_they_are(tmp_path: Path) -> None:
    store = scattered(tmp_path)
    store.look_after(LATER)
    before = answer(store, "SELECT * FROM gas ORDER BY time")
    assert "gas/2023-11-14.001.parquet" in cold_files(tmp_path), "not quiet yet"
    store.look_after(LATER + HOUR)
    assert answer(store, "SELECT * FROM gas ORDER BY time") == before
    assert len(cold_files(tmp_path)) == 5, "what was replaced stays for a round"
    bins = (tmp_path / "cold/gas_1m/2023-11-14.000.parquet").stat()
    store.look_after(LATER + 2 * HOUR)
    assert cold_files(tmp_path) == [
        "gas/2023-11-14.002m.parquet",
        "gas_1h/2023-11-14.000.parquet",
        "gas_1m/2023-11-14.000.parquet",
    ]
    assert (tmp_path / "cold/gas_1m/2023-11-14.000.parquet").stat() == bins
    assert answer(store, "SELECT * FROM gas ORDER BY time") == before
    store.close()


def test_rows_that_come_late_make_the_bins_of_their_day_anew(tmp_path: Path) -> None:
    store = scattered(tmp_path)
    for now in (LATER, LATER + HOUR):
        store.look_after(now)
    store.write([block(first=90, rows=10)], [])
    store.look_after(LATER + 2 * HOUR)
    assert answer(store, "SELECT sum(h2s_count) FROM gas_1m") == [(60,)], "it waits for quiet"
    store.look_after(LATER + 4 * HOUR)
    assert answer(store, "SELECT sum(h2s_count), sum(h2s_bad) FROM gas_1m") == [(70, 30)]
    assert answer(store, "SELECT count(*), count(DISTINCT time) FROM gas") == [(100, 100)]
    store.close()


def test_rows_go_after_their_days_and_not_before_and_the_ledger_stays(tmp_path: Path) -> None:
    store = scattered(tmp_path)
    store.look_after(DAY_0 + 11 * DAY - 1)
    assert answer(store, "SELECT count(*) FROM gas") == [(90,)]
    ledger = store.ledger()
    store.look_after(DAY_0 + 11 * DAY)
    assert answer(store, "SELECT count(*) FROM gas") == [(0,)]
    assert answer(store, "SELECT sum(h2s_count), sum(h2s_bad) FROM gas_1m") == [(60, 30)]
    assert store.ledger() == ledger
    store.look_after(DAY_0 + 11 * DAY)
    assert [p for p in cold_files(tmp_path) if p.startswith("gas/")] == []
    store.look_after(DAY_0 + 31 * DAY)
    assert store.tables() == ["deleted_by_policy", "gas", "gas_1h"], "a minute's are kept 30 days"
    gone = "SELECT measurement, gateway, stream, lo, hi, rows FROM deleted_by_policy"
    assert answer(store, gone) == [("gas", "gw-1", STREAM, 0, 90, 90)]
    (told,) = store.deleted_of("gw-1")
    assert told == Deleted("gas", 90, "2023-11-14", "2023-11-14", DAY_0 + 11 * DAY)
    assert store.deleted_of("gw-1", DAY_0, DAY_0 + DAY) == [told]
    assert store.deleted_of("gw-1", DAY_0 + DAY) == store.deleted_of("gw-1", None, DAY_0 - 1) == []
    assert store.deleted_of("gw-2") == []
    assert answer(store, "SELECT sum(h2s_count) FROM gas_1h") == [(60,)]
    store.close()


def test_rows_later_than_their_days_are_added_to_the_bins_that_are_there(tmp_path: Path) -> None:
    store = scattered(tmp_path)
    for _ in range(2):
        store.look_after(DAY_0 + 11 * DAY)
    store.write([block(first=0, rows=1)], [])
    store.write([block(first=3600, rows=1)], [])
    store.look_after(DAY_0 + 12 * DAY)
    assert answer(store, "SELECT count(*) FROM gas") == [(0,)]
    first = "SELECT h2s_mean, h2s_min, h2s_max, h2s_count, h2s_bad FROM gas_1h ORDER BY time"
    assert answer(store, first)[0] == ((60 * 30 + 0.5) / 61, 0.5, 59.5, 61, 30)
    assert answer(store, "SELECT sum(h2s_count), sum(h2s_bad) FROM gas_1m") == [(62, 30)]
    store.close()


def test_events_are_kept_for_ever_unless_they_are_named() -> None:
    assert rule_of(KEPT, "gas").raw_days == 10
    assert rule_of(KEPT, "event").raw_days is None
    assert rule_of(KEPT, "event").samples == {}
    own = {"event": MeasurementRetention(raw_days=99), "gas": MeasurementRetention(minute_days=5)}
    named = KEPT.model_copy(update={"measurements": own})
    assert rule_of(named, "event").raw_days == 99
    assert rule_of(named, "gas").samples == {"1m": 5, "1h": None}
    assert rule_of(named, "gas").raw_days == 10


def test_a_policy_shorter_than_the_hot_hours_is_refused() -> None:
    with pytest.raises(ValueError, match="less than hot_hours"):
        LocalOptions(hot_hours=48, retention=Retention(raw_days=1))


def test_a_policy_whose_bins_go_before_their_rows_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"retention\.minute_days: 5 days are less than raw_days = 9"
    ):
        LocalOptions(retention=Retention(raw_days=9, minute_days=5))
    own = {"gas": MeasurementRetention(raw_days=60)}
    with pytest.raises(ValueError, match=r"measurements\.gas\.hour_days: 30 days"):
        LocalOptions(retention=Retention(hour_days=30, measurements=own))
    LocalOptions(retention=Retention(raw_days=9, minute_days=9, hour_days="forever"))
    LocalOptions(retention=Retention(raw_days="forever", minute_days=5))


def test_the_names_of_bins_cannot_be_taken(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    points, _ = parse("gas_1m,site=a,device=b v=1\ndeleted_by_policy,site=a v=1", "ns")
    _, bad = store.write_points(points, T0)
    assert ["store itself" in line.reason for line in bad] == [True, True]
    store.close()


def test_a_line_older_than_rows_are_kept_is_refused_and_counts_in_no_bin(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, POLICY)
    points, _ = parse(f"gas,site=a,device=b v=1 {T0}\nevent,site=a,device=b v=1 {T0}", "ns")
    assert store.write_points(points, DAY_0 + 11 * DAY - 1) == (2, [])
    written, bad = store.write_points(points, DAY_0 + 11 * DAY)
    assert (written, [line.reason for line in bad]) == (1, ["older than 'gas' is kept"])
    store.close()


def test_a_clock_that_jumps_by_years_deletes_nothing_for_a_day() -> None:
    guard = ClockGuard(None)
    assert guard.may_delete(T0, 0)
    assert guard.may_delete(T0 + HOUR, HOUR)
    assert not guard.may_delete(T0 + 3650 * DAY, 2 * HOUR)
    assert not guard.may_delete(T0 + 3650 * DAY + HOUR, 3 * HOUR), "it stands by it"
    assert guard.may_delete(T0 + 3 * HOUR, 27 * HOUR), "set right again"
    assert not ClockGuard(T0).may_delete(T0 + 40 * DAY, 5), "it was off, or its clock is wrong"
    assert ClockGuard(T0).may_delete(T0 + HOUR, 5)


def test_a_store_that_wakes_years_later_deletes_nothing_at_once(tmp_path: Path) -> None:
    options = POLICY.model_copy(update={"roll_interval_s": 0.01})
    scattered(tmp_path, options).close()
    clock = At(DAY_0 + 3 * DAY)
    store = LocalStore(tmp_path, options)
    store.keep_rolling(clock)
    wait_until_sync(lambda: "gas_1h" in store.tables())
    clock.wall_ns += 3650 * DAY
    wait_until_sync(lambda: "gas/2023-11-14.002m.parquet" in cold_files(tmp_path))
    assert answer(store, "SELECT count(*) FROM gas") == [(90,)]
    store.close()
    store = LocalStore(tmp_path, options)  # the wrong time was not noted
    store.keep_rolling(clock)
    for first in (90, 91):  # the second row moves in a later round than the first
        before = len(cold_files(tmp_path))
        store.write([block(first=first, rows=1)], [])
        wait_until_sync(lambda before=before: len(cold_files(tmp_path)) > before)  # type: ignore[misc]
    assert answer(store, "SELECT count(*) FROM gas") == [(92,)]
    store.close()


def test_a_large_day_is_merged_and_sampled_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "PART_ROWS", 50)
    monkeypatch.setattr(down_sample, "PART_ROWS", 50)
    store = LocalStore(tmp_path, POLICY)
    for first in (0, 30):
        store.write([block(device=f"gas-{n}", first=first, rows=30) for n in range(5)], [])
        store.roll_over(LATER)
    before = answer(store, "SELECT * FROM gas ORDER BY device, time")
    for round_ in range(1, 4):
        store.look_after(LATER + round_ * HOUR)
    raw = [p for p in cold_files(tmp_path) if p.startswith("gas/")]
    assert len(raw) == 5
    assert answer(store, "SELECT * FROM gas ORDER BY device, time") == before
    bins = answer(store, "SELECT device, sum(h2s_count) FROM gas_1m GROUP BY 1 ORDER BY 1")
    assert bins == [(f"gas-{n}", 60) for n in range(5)]
    with duckdb.connect() as connection:
        files = f"{tmp_path}/cold/gas/*.parquet"
        per_file = connection.execute(
            "SELECT filename, count(DISTINCT device) FROM read_parquet(?, filename = true) GROUP BY 1",
            [files],
        ).fetchall()
    assert all(devices == 1 for _, devices in per_file)
    store.close()


def test_without_a_hot_file_each_row_is_taken_up_once(tmp_path: Path) -> None:
    store = scattered(tmp_path)
    for round_ in range(2):
        store.look_after(LATER + round_ * HOUR)
    before = answer(store, "SELECT * FROM gas ORDER BY time")
    bins = answer(store, "SELECT * FROM gas_1m ORDER BY time")
    store.close()
    (tmp_path / "hot.duckdb").unlink()
    for path in ("gas/2023-11-14.000.parquet", "gas/2023-11-14.001.parquet"):
        assert path in cold_files(tmp_path)
    store = LocalStore(tmp_path, POLICY)  # old files and the one made of them lie there together
    assert answer(store, "SELECT * FROM gas ORDER BY time") == before
    assert answer(store, "SELECT * FROM gas_1m ORDER BY time") == bins
    store.look_after(LATER + 2 * HOUR)
    assert answer(store, "SELECT * FROM gas_1m ORDER BY time") == bins
    store.close()


def test_of_files_made_of_others_only_whole_sets_count() -> None:
    a, b = Found("m/d.000.parquet"), Found("m/d.001.parquet")
    of = (a.path, b.path)
    c, d = Found("m/d.002m.parquet", of, 2), Found("m/d.003m.parquet", of, 2)
    assert that_count([a, b, c]) == [a, b], "killed before its second part"
    assert that_count([a, b, c, d]) == [c, d]
    assert that_count([c]) == [c], "all that is left"
    e = Found("m/d.005m.parquet", (c.path, d.path), 1)
    assert that_count([a, b, c, d, e]) == [e]
    assert newest([c, Found("m/d.004.parquet", (a.path,), 1), d]) == [
        Found("m/d.004.parquet", (a.path,), 1)
    ]


def test_writing_and_asking_go_on_beside_the_upkeep(tmp_path: Path) -> None:
    store = scattered(tmp_path)
    done = threading.Event()
    failed: list[BaseException] = []

    def look_after() -> None:
        try:
            for round_ in range(1, 12):
                store.look_after(LATER + round_ * HOUR)
        except StoreError as exc:
            failed.append(exc)
        finally:
            done.set()

    thread = threading.Thread(target=look_after)
    thread.start()
    first = 1000
    while not done.is_set():
        store.write([block(first=first, rows=10)], [])
        first += 10
        (count,) = answer(store, "SELECT count(*) - count(DISTINCT time) FROM gas")
        assert count == (0,)
    thread.join()
    assert failed == []
    assert answer(store, "SELECT count(*) FROM gas") == [(90 + first - 1000,)]
    store.close()


def test_one_backup_at_a_time_and_its_files_stay(tmp_path: Path) -> None:
    store = scattered(tmp_path)
    snapshot = store.snapshot()
    taken = snapshot.take()
    with pytest.raises(StoreUnavailableError, match="running already"):
        store.snapshot().take()
    for days in (11, 12, 13):
        store.look_after(DAY_0 + days * DAY)
    assert all((tmp_path / path).exists() for path in taken.cold)
    assert (taken.rows["gas"].cold, taken.numbers) == (90, 90)
    with duckdb.connect(str(taken.hot), read_only=True) as copy:
        assert copy.execute("SELECT sum(rows) FROM meta.cold").fetchall() == [(90,)]
    snapshot.release()
    assert not taken.hot.exists()
    store.look_after(DAY_0 + 13 * DAY)
    assert not any((tmp_path / path).exists() for path in taken.cold)
    store.close()


def look_after(directory: Path, now_ns: int, step: Step) -> None:
    store = LocalStore(directory, POLICY)
    store.look_after(now_ns, step)
    store.close()


SHOW = {
    "gas": "SELECT * FROM gas ORDER BY time",
    "gas_1m": "SELECT * FROM gas_1m ORDER BY time",
    "gas_1h": "SELECT * FROM gas_1h ORDER BY time",
}


def shown_by(store: LocalStore) -> dict[str, list[tuple[Any, ...]]]:
    return {name: answer(store, SHOW[name]) for name in store.tables() if name in SHOW}


@pytest.mark.parametrize(
    ("days", "points"),
    [
        (3, ("sample-copied", "sample-renamed", "sample-listed", "sample-committed",
             "merge-copied", "merge-renamed", "merge-listed", "merge-committed")),
        (11, ("retire-struck", "retire-committed")),
        (31, ("retire-bins-struck", "retire-bins-committed")),
    ],
)  # fmt: skip
def test_a_kill_at_any_step_loses_nothing_before_its_time_and_doubles_nothing(
    tmp_path: Path, days: int, points: tuple[str, ...]
) -> None:
    """One store killed at each step in turn; the next run goes on from there."""
    now = DAY_0 + days * DAY
    store = scattered(tmp_path)
    rows = answer(store, SHOW["gas"])
    if days > 3:
        store.look_after(DAY_0 + (11 if days == 31 else 3) * DAY)
    kept = shown_by(store)
    store.close()
    for point in points:
        assert dies_at(point, look_after, tmp_path, now), point
        with duckdb.connect(str(tmp_path / "hot.duckdb")) as connection:
            listed = {p for (p,) in connection.execute("SELECT path FROM meta.cold").fetchall()}
        assert listed <= set(cold_files(tmp_path)), "what is listed is there"
        store = LocalStore(tmp_path, POLICY)
        assert set(cold_files(tmp_path)) == listed, "and nothing else after a start"
        shown = shown_by(store)
        if days == 3:
            assert shown["gas"] == rows
            assert [c[0] for c in store.query("SELECT sum(h2s_count) FROM gas_1m").data] == [60] if "gas_1m" in shown else True  # fmt: skip
        elif point.endswith("struck"):
            assert shown == kept
        store.close()
    store = LocalStore(tmp_path, POLICY)
    for _ in range(2):
        store.look_after(now)
    shown = shown_by(store)
    assert answer(store, "SELECT sum(h2s_count), sum(h2s_bad) FROM gas_1h") == [(60, 30)]
    assert shown["gas"] == (rows if days == 3 else [])
    assert ("gas_1m" in shown) == (days < 31)
    if days == 3:
        assert cold_files(tmp_path)[0] == "gas/2023-11-14.002m.parquet"
        assert len(cold_files(tmp_path)) == 3
    store.close()


def test_a_store_that_closes_stops_the_day_it_is_at(tmp_path: Path) -> None:
    options = POLICY.model_copy(update={"roll_interval_s": 0.01})
    store = LocalStore(tmp_path, options)
    rows = 400_000
    store.write([block(device=f"d-{n}", rows=rows // 4, step_ns=10**6) for n in range(4)], [])
    store.keep_rolling(At(LATER))
    wait_until_sync(lambda: any("gas_1m" in name for name in cold_files(tmp_path)))
    store.close()  # in the middle of what there is to do, or after it
    store = LocalStore(tmp_path, POLICY)
    for _ in range(2):
        store.look_after(LATER)
    assert answer(store, "SELECT count(*) FROM gas") == [(rows,)]
    assert answer(store, "SELECT sum(h2s_count) FROM gas_1h") == [(rows,)]
    assert answer(store, "SELECT sum(h2s_count) FROM gas_1m") == [(rows,)]
    store.close()


def test_deleting_goes_on_where_days_cannot_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = scattered(tmp_path)
    store.look_after(LATER)
    store.write([block(first=86_400 * 2, rows=3)], [])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(roll_over, "write_file", full)
    with pytest.raises(StoreError, match="roll-over stopped"):
        store.look_after(DAY_0 + 11 * DAY)
    assert answer(store, "SELECT count(*) FROM gas") == [(3,)], "the day that was over went"
    store.close()
