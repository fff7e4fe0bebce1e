"""The embedded store as the spine asks it at its start."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud.config import CloudConfig, LocalStoreSection
from cloud.spine import doors
from cloud.spine.doors import LocalDoor
from cloud.stores import Column
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.retention import Retention
from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import block
from tocsin.sdk import SystemClock


def test_of_a_large_store_only_recent_rows_are_read_for_last_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CloudConfig.model_validate({"schema": 1, "cloud": {"data_dir": tmp_path}})
    door = LocalDoor(config, LocalStoreSection(), SystemClock())
    now = time.time_ns()
    lines = [f"gas,site=s,device={d} h2s={d} {now - d * 7200 * 10**9}" for d in range(2)]
    door.write_lp("\n".join(lines), "ns", "")
    assert {row["h2s"] for row in door.newest()} == {0.0, 1.0}
    monkeypatch.setattr(doors, "NEWEST_ROWS", 1)
    assert [row["h2s"] for row in door.newest()] == [0.0]
    door.close()


def test_a_chart_shows_means_where_the_rows_were_deleted(tmp_path: Path) -> None:
    day = 86_400 * 10**9
    today = time.time_ns() // day * day
    days = [today - n * day for n in (40, 12, 3)]
    config = CloudConfig.model_validate({"schema": 1, "cloud": {"data_dir": tmp_path}})
    assert config.store_directory is not None
    kept = Retention(raw_days=10, minute_days=30, hour_days="forever")
    store = LocalStore(config.store_directory, LocalOptions(hot_hours=1, retention=kept))
    for n, at in enumerate(days):
        columns = {"h2s": Column("f", np.arange(120) + 1000.0 * n)}
        store.write([replace(block(columns, rows=120), time_ns=at + np.arange(120) * 10**9)], [])
        for later in (1, 2):
            store.look_after(at + later * 2 * day)
    for _ in range(3):
        store.look_after(today)
    assert store.query("SELECT count(*) FROM gas").data == [[120]]
    store.close()
    door = LocalDoor(config, LocalStoreSection(retention=kept), SystemClock())
    place = "gas", "north", "gas-01", "h2s"
    times, values, until_ns = door.means(*place, days[0], today)
    assert list(zip(times, values, strict=True)) == [
        (days[0], 59.5),  # a mean of the hour: those of minutes went, too
        (days[1], 1029.5),
        (days[1] + 60 * 10**9, 1089.5),
    ]
    assert until_ns == days[1] + day
    assert door.means(*place, days[1] + day, today) == ([], [], 0)
    assert door.means("gas", "north", "gas-01", "none", days[0], today) == ([], [], 0)
    assert door.means("none", "north", "gas-01", "h2s", days[0], today) == ([], [], 0)
    raw, _, _ = door.series(*place, until_ns, today)
    assert len(raw) == 120
    door.close()
