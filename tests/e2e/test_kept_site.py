"""A site of outbox layout 2, state schema 0012 and store layout 2, killed while its cloud stood still, goes on under this version.

`tests/fixtures/site-2.tar.xz` is what the product of 2026-11-27 had written (`scripts/kept_site.py`): readings of a day that had gone cold, one detection,
ten seconds of the demo's site, a backup, and eight seconds more of which the cloud committed none. Then everything was killed with -9.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.test_upgrade import (
    Cell,
    alarms_of_h2s,
    cells_in_outbox,
    cells_in_store,
    layouts,
    run_until_drained,
    start_cloud,
    unpacked,
)
from tocsin.lab.children import Children, tocsin_command
from tocsin.testing import wait_until_sync

FIXTURE = Path(__file__).parents[1] / "fixtures" / "site-2.tar.xz"
MADE = {"outbox": 2, "state": "0012", "store": 2}
COLD_NS = 1_795_428_000_000_000_000  # 2026-11-23 10:00 UTC
COLD = ("h2s", "o2", "co", "ex")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The site, with configurations of this version."""
    return unpacked(FIXTURE, tmp_path)


def cold_cells() -> set[Cell]:
    """What lies in Parquet: a second apart, each with its running number."""
    return {
        ("gas-01", COLD_NS + n * 10**9, quantity, value)
        for n in range(200)
        for quantity, value in zip(COLD, (n / 8, 20.9, 1.0, 0.0), strict=True)
    }


def wanted_of(folder: Path) -> set[Cell]:
    found = {c for c in cells_in_outbox(folder / "edge/outbox/outbox.db") if c[3] is not None}
    assert len(found) > 500
    return found | cold_cells()


def test_what_this_version_finds_is_of_the_layouts_it_was_made_with(folder: Path) -> None:
    assert layouts(folder) == MADE
    with closing(sqlite3.connect(folder / "edge/outbox/outbox.db")) as db:
        (given,) = db.execute("SELECT sum(next_seq) FROM stream").fetchone()
        (committed,) = db.execute("SELECT sum(hi - lo) FROM settled").fetchone()
    assert given - committed > 50
    assert [p.name for p in folder.glob("cloud/store/cold/gas/*")] == ["2026-11-23.000.parquet"]


def test_a_site_of_this_layout_is_opened_and_drained_and_answers_the_same_readings(
    folder: Path,
) -> None:
    run_until_drained(folder, wanted_of(folder))
    with Children(folder / "logs") as children:
        cloud, client, _ = start_cloud(folder, children)
        (detection,) = client.get("/api/v1/detections")
        assert (detection["label"], detection["told"]["bearing"]) == ("smoke", 41.5)
        told = client.get("/api/v1/gateways/gw-demo/completeness")
        assert (told["missing"], told["waiting"]) == (0, 0)
        cloud.stop()


def test_a_backup_of_this_format_is_restored_and_what_it_lacks_comes_from_the_old_outbox(
    folder: Path,
) -> None:
    wanted = wanted_of(folder)
    backups = folder / "backups"
    assert json.loads(tocsin_command("backup", "verify", str(backups), "--json"))["ok"]
    shutil.rmtree(folder / "cloud")
    told = tocsin_command("restore", str(backups), "--data", str(folder / "cloud"), "--json")
    compared = {(c["part"], c["name"]): c for c in json.loads(told)["compared"]}
    assert all(c["backup"] == c["restored"] for c in compared.values())
    gas, detections = compared["store", "gas"], compared["state", "vision_detections"]
    assert (gas["restored"] >= 200, detections["restored"]) == (True, 1)
    run_until_drained(folder, wanted)
    with Children(folder / "logs") as children:
        cloud, client, _ = start_cloud(folder, children)
        assert alarms_of_h2s(client) == ["gas-02"]
        cells = [c for c in cells_in_store(client) if c[:2] == ("gas-01", COLD_NS)]
        assert {c[2] for c in cells if c[3] is not None} >= set(COLD)
        wait_until_sync(
            lambda: client.query("SELECT kind FROM event WHERE kind = 'cloud.restored'")
        )
        cloud.stop()
