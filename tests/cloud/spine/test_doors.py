"""The embedded store as the spine asks it at its start."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cloud.config import CloudConfig, LocalStoreSection
from cloud.spine import doors
from cloud.spine.doors import LocalDoor
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
