"""Blocks written to the embedded store come back by SQL, value by value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cloud.query.result import Limits
from cloud.stores import NO_TIME, Block, Column, LedgerEntry
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import STREAM, T0, block
from tocsin.errors import StoreError


def test_rows_return_with_their_nanoseconds(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert store.write([block()], [LedgerEntry("gw-1", STREAM, 0, 3)]) == []
    result = store.query(
        "SELECT time, site, device, h2s, h2s_q, gateway, stream, seq, source_time FROM gas"
    )
    assert [c.type for c in result.columns[:4]] == ["timestamp_ns", "varchar", "varchar", "double"]
    assert result.data == [
        [T0, T0 + 10**9, T0 + 2 * 10**9],
        ["north"] * 3,
        ["gas-01"] * 3,
        [0.5, 1.5, 2.5],
        [0, 0, 0],
        ["gw-1"] * 3,
        [STREAM] * 3,
        [0, 1, 2],
        [None] * 3,
    ]
    store.close()


def test_each_type_keeps_its_missing_values_and_quality(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    valid = np.array([True, False, True])
    quality = np.array([0, 69, 65], np.uint8)
    written = Block(
        "machine",
        "north",
        "m-1",
        "gw-1",
        STREAM,
        np.arange(3),
        T0 + np.arange(3),
        {
            "temperature": Column("f", np.array([1.0, 0.0, 3.0]), valid, quality),
            "count": Column("i", np.array([2**62, 0, -5]), valid),
            "running": Column("b", np.array([True, False, False]), valid),
            "mode": Column("s", np.array(["a", "", "雨"], dtype=object), valid),
        },
        source_ns=np.array([T0 - 5, NO_TIME, NO_TIME]),
        raw={"temperature": Column("f", np.array([33.8, 0.0, 37.4]), valid)},
    )
    assert store.write([written], []) == []
    result = store.query(
        "SELECT temperature, temperature_q, temperature_raw, count, count_q, running, mode, source_time"
        " FROM machine ORDER BY time"
    )
    assert result.data == [
        [1.0, None, 3.0],
        [0, 69, 65],
        [33.8, None, 37.4],
        [2**62, None, -5],
        [0, None, 0],
        [True, None, False],
        ["a", None, "雨"],
        [T0 - 5, None, None],
    ]
    store.close()


def test_devices_with_different_quantities_share_one_write(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    other = block({"co": Column("f", np.array([7.0, 8.0, 9.0]))}, "gas-02")
    store.write([block(), other], [])
    result = store.query(
        "SELECT device, max(h2s) h, max(co) c, count(h2s_q) n FROM gas GROUP BY device ORDER BY device"
    )
    assert result.data == [["gas-01", "gas-02"], [2.5, None], [None, 9.0], [3, 0]]
    store.close()


def test_a_conflicting_column_is_rejected_and_the_rest_kept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    bad = block(
        {
            "h2s": Column("s", np.array(["a", "b", "c"], dtype=object)),
            "co": Column("f", np.ones(3)),
        }
    )
    (rejected,) = store.write([bad], [])
    assert (rejected.block, rejected.row, rejected.column) == (0, None, "h2s")
    assert rejected.reason.startswith("type-conflict: h2s is float here")
    assert store.query("SELECT sum(co) FROM gas").data == [[3.0]]
    store.write([block({"extra": Column("i", np.arange(3))})], [])
    (rejected,) = store.write([block({"extra": Column("f", np.ones(3))})], [])
    assert "extra is integer here, the block says float" in rejected.reason
    store.close()


def test_columns_beyond_the_cap_and_bad_names_are_rejected(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, LocalOptions(max_columns=2, max_measurements=1))
    ones = Column("f", np.ones(3))
    rejected = store.write([block({"a": ones, "b": ones, "c": ones}), block({"x y": ones})], [])
    assert [(r.block, r.column, r.reason.split(":")[0]) for r in rejected] == [
        (0, "c", "too-many-columns"),
        (1, "x y", "bad-name"),
    ]
    other = Block("water", "n", "d", "g", STREAM, np.arange(3), np.arange(3), {"level": ones})
    (rejection,) = store.write([other], [])
    assert rejection.reason.startswith("too-many-measurements")
    store.close()


def test_a_value_that_is_not_finite_is_absent_and_named(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (rejected,) = store.write([block({"h2s": Column("f", np.array([1.0, np.nan, 2.0]))})], [])
    assert (rejected.row, rejected.column) == (1, "h2s")
    assert store.query("SELECT h2s, h2s_q FROM gas ORDER BY time").data == [
        [1.0, None, 2.0],
        [0, 70, 0],
    ]
    store.close()


def test_a_row_outside_the_calendar_is_rejected_alone(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    b = block()
    b.time_ns[1] = NO_TIME
    (rejected,) = store.write([b], [])
    assert (rejected.row, rejected.reason.split(":")[0]) == (1, "bad-time")
    assert store.query("SELECT count(*) FROM gas").data == [[2]]
    store.close()


def test_the_ledger_survives_reopening(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write(
        [block()], [LedgerEntry("gw-1", STREAM, 0, 3), LedgerEntry("gw-1", STREAM, 7, 9, True)]
    )
    store.write([], [LedgerEntry("gw-1", STREAM, 3, 5)])
    store.close()
    store = LocalStore(tmp_path)
    settled, rejected = store.ledger()["gw-1", STREAM]
    assert list(settled) == [(0, 5), (7, 9)]
    assert list(rejected) == [(7, 9)]
    assert store.query("SELECT count(*) FROM gas").data == [[3]]
    store.close()


def test_a_store_in_use_says_so_to_a_second_process_and_a_reader(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write([block()], [])
    code = (
        "import sys; from pathlib import Path; from cloud.stores.local.store import LocalStore\n"
        "from tocsin.errors import StoreUnavailableError\n"
        "try: LocalStore(Path(sys.argv[1]), read_only=True)\n"
        "except StoreUnavailableError as e: print(e.message)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "open in another process" in out.stdout
    store.close()
    reader = LocalStore(tmp_path, read_only=True)
    assert reader.query("SELECT count(*) FROM gas", Limits()).data == [[3]]
    with pytest.raises(StoreError):
        reader.write([block()], [])
    reader.close()
