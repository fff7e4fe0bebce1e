"""`tocsin demo` as a stranger runs it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tocsin.lab.children import LabError
from tocsin.lab.demo import Demo
from tocsin.lab.judge import End, judge
from tocsin.lab.site import Site
from tocsin.testing import wait_until_sync

ONE_QUANTITY = """
schema = 1
[profile]
name = "one-quantity"
title = "One register"
measurement = "gas"
[[points]]
quantity = "h2s"
address = 0
type = "f32"
unit = "[ppm]"
"""


def tocsin(*args: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "tocsin.cli", *args],
        env={**os.environ, "TOCSIN_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A demo that ended by itself: its state folder and what it printed."""
    data = tmp_path_factory.mktemp("demo")
    done = tocsin("demo", "--for", "25", "--release-after", "5", "--port", "0", "--json", data=data)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    return data, json.loads(line)


def test_the_demo_prints_one_object_that_adds_up(ended: tuple[Path, dict[str, Any]]) -> None:
    _, report = ended
    assert report["lost"] == report["duplicates"] == report["wrong"] == 0, report["examples"]
    assert report["readings_acquired"] == (
        report["readings_stored"]
        + report["suppressed_by_deadband"]
        + report["uncommitted"]
        + report["lost"]
    )
    assert report["audit"] == "complete"
    assert report["readings_stored"] > 500
    assert report["suppressed_by_deadband"] > 0
    assert report["console_url"].startswith("http://127.0.0.1:")


def test_every_device_of_the_demo_delivered(ended: tuple[Path, dict[str, Any]]) -> None:
    _, report = ended
    kinds = {
        device["id"]: device["kind"]
        for device in report["devices"]
        if device["readings"] > 0 and device["state"] == "ok"
    }
    assert kinds == {
        "gas-01": "gas", "gas-02": "gas", "gas-03": "gas", "rain-01": "weather", "river-01": "water", "truck-01": "vehicle",
    }  # fmt: skip


def test_the_gas_release_became_an_alarm_whose_latency_was_measured(
    ended: tuple[Path, dict[str, Any]],
) -> None:
    _, report = ended
    assert report["alarms"] >= 1
    assert report["alarm_latency_ms"]["n"] >= 1
    assert report["alarm_latency_ms"]["p50"] <= report["alarm_latency_ms"]["p99"]
    assert report["poll_period_s"] == 0.5


def test_a_query_answers_on_what_the_demo_left(ended: tuple[Path, dict[str, Any]]) -> None:
    data, _ = ended
    done = tocsin(
        "query", "SELECT device, max(h2s) FROM gas GROUP BY device", "--format", "json", data=data
    )
    assert done.returncode == 0, done.stderr
    rows = {row["device"]: row["max(h2s)"] for row in json.loads(done.stdout)}
    assert rows.keys() == {"gas-01", "gas-02", "gas-03"}
    assert rows["gas-02"] > 20 > rows["gas-01"]


def rows_of(run: Demo, device: str) -> int:
    with contextlib.suppress(LabError):  # no table before the first row
        return int(
            run.client.query(f"SELECT count(*) AS n FROM gas WHERE device = '{device}'")[0]["n"]
        )
    return 0


def test_one_message_dropped_one_doubled_one_altered_is_counted_as_exactly_that(
    tmp_path: Path,
) -> None:
    profile = tmp_path / "one-quantity.toml"
    profile.write_text(ONE_QUANTITY, "utf-8")
    site = Site(gas_03_profile=str(profile), with_deadbands=False)
    folder = tmp_path / "run"
    with Demo(folder, site) as run:
        run.start(lambda _part: None)
        wait_until_sync(lambda: rows_of(run, "gas-03") >= 12, 60.0)
        end: End = run.stop()
    clean, _ = judge(folder, site, end)
    assert (clean.lost, clean.duplicates, clean.wrong) == (0, 0, 0), clean.examples

    with duckdb.connect(str(folder / "cloud" / "store" / "hot.duckdb")) as store:
        table = store.execute(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables "
            "WHERE table_type = 'BASE TABLE' AND table_name = 'gas'"
        ).fetchall()[0][0]
        row = f"{table} WHERE device = 'gas-03' AND seq = ?"
        found = store.execute(f"SELECT seq FROM {table} WHERE device = 'gas-03' ORDER BY time")
        seqs = [seq for (seq,) in found.fetchall()]
        store.execute(f"DELETE FROM {row}", [seqs[2]])
        store.execute(f"INSERT INTO {table} SELECT * FROM {row}", [seqs[5]])
        store.execute(f"UPDATE {row.replace(' WHERE', ' SET h2s = h2s + 1 WHERE')}", [seqs[8]])
    tampered, _ = judge(folder, site, end)
    assert (tampered.lost, tampered.duplicates, tampered.wrong) == (1, 1, 1), tampered.examples
