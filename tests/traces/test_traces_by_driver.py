"""Every recording through its driver and the pipeline, against the file itself."""

from __future__ import annotations

import json
import logging
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge.drivers.replay.driver import ReplayDriver
from edge.pipeline.pipeline import Pipeline
from tests.traces import compare, recordings, truth
from tests.traces.compare import Got
from tocsin.contract.columns import Row
from tocsin.contract.quality import Quality
from tocsin.sdk import DriverContext, Sample, SystemClock
from tocsin.testing.contexts import keeping

TABLES = {table["device"]: table for table in recordings.tables()}
CSV = [name for name, table in TABLES.items() if table["format"] == "csv"]
GPX = [name for name, table in TABLES.items() if table["format"] == "gpx"]
NMEA = [name for name, table in TABLES.items() if table["format"] == "nmea"]


_played: dict[str, tuple[list[Got], Counter[str]]] = {}


async def _run(device: str, shared_data: Path) -> tuple[list[Got], Counter[str]]:
    """What became of a recording; each is played once."""
    if device not in _played:
        _played[device] = await _play(device, shared_data)
    return _played[device]


async def _play(device: str, shared_data: Path) -> tuple[list[Got], Counter[str]]:
    rows: list[Row] = []
    counts: Counter[str] = Counter()
    clock = SystemClock()

    async def emit(sample: Sample) -> None:
        rows.extend(pipeline.process(sample, clock.mono_ns()).rows)

    context = DriverContext(
        name=device,
        clock=clock,
        log=logging.getLogger("test"),
        emit=emit,
        keep=keeping(emit),
        available=lambda _device: None,
        unavailable=lambda _device, _error: None,
        count=lambda name, n: counts.update({name: n}),
    )
    driver = ReplayDriver(recordings.load(TABLES[device], shared_data), context)
    pipeline = Pipeline(driver.devices)
    await driver.run()
    return [_got(row) for row in rows], counts


def _got(row: Row) -> Got:
    names = row.layout.quantities
    return Got(
        row.time_ns,
        row.source_ns,
        dict(zip(names, row.values, strict=True)),
        dict(zip(names, row.quality or [0] * len(names), strict=True)),
    )


def _gpsd_reports(shared_data: Path) -> dict[str, list[dict[str, Any]]]:
    vectors = json.loads((shared_data / "protocols/nmea0183_gpsd_tpv.json").read_text())["vectors"]
    return {f"nmea-{v['log'].lower()}": v["gpsd_tpv"] for v in vectors}


@pytest.mark.parametrize("device", CSV)
async def test_every_cell_of_a_csv_file_arrives(device: str, shared_data: Path) -> None:
    got, _ = await _run(device, shared_data)
    expected = truth.CSV_TRUTH[device](shared_data / TABLES[device]["file"])
    assert len(expected) > 1000
    assert compare.readings(expected, got) == []


async def test_outages_blank_rows_and_faults_are_counted(shared_data: Path) -> None:
    got, counts = await _run("air-1", shared_data)
    assert counts == {"replay.blank_rows": 114, "replay.rows": 9357}
    missing = sum(code == Quality.MISSING for g in got for code in g.quality.values())
    assert missing == 16_244 + 457
    got, _ = await _run("river-1", shared_data)
    codes = Counter(code for g in got for code in g.quality.values() if code)
    assert codes == {Quality.MISSING: 3 + 1226, Quality.DEVICE_FAULT: 2}


async def test_rows_of_one_time_stamp_are_all_kept(shared_data: Path) -> None:
    got, _ = await _run("machine-1", shared_data)
    assert len({g.time_ns for g in got}) == len(got)
    assert len({g.source_ns for g in got}) < len(got)


@pytest.mark.parametrize("device", GPX)
async def test_every_track_point_arrives(device: str, shared_data: Path) -> None:
    got, _ = await _run(device, shared_data)
    expected = truth.gpx(shared_data / TABLES[device]["file"])
    assert expected
    assert compare.readings(expected, got) == []


@pytest.mark.parametrize("device", NMEA)
async def test_every_position_is_one_that_the_receiver_stated(
    device: str, shared_data: Path
) -> None:
    got, _ = await _run(device, shared_data)
    assert compare.positions(truth.nmea(shared_data / TABLES[device]["file"]), got) == []
    for row in got:
        if row.values["fix"] == 0:
            assert row.values["lat"] is None
            assert row.quality["lat"] == row.quality["lon"] == Quality.NO_FIX


async def test_positions_times_and_modes_agree_with_gpsd(shared_data: Path) -> None:
    reports = _gpsd_reports(shared_data)
    assert reports
    for device, expected in reports.items():
        got, _ = await _run(device, shared_data)
        assert (device, compare.gpsd(expected, got)) == (device, [])


async def test_glitches_while_standing_are_flagged_and_kept(shared_data: Path) -> None:
    got, _ = await _run("nmea-quectel-eg25-g", shared_data)
    flagged = [g for g in got if g.quality["lat"] == Quality.JUMP]
    assert flagged
    assert all(g.values["lat"] is not None for g in flagged)


@pytest.mark.parametrize(
    ("device", "moments"),
    [
        ("nmea-quectel-eg25-g", ["2022-09-11T19:15:28.980", "2022-09-11T19:15:29.980"]),
        ("nmea-beidou-bd", ["2015-02-25T07:41:56.799"]),
    ],
)
async def test_each_known_glitch_is_flagged(
    device: str, moments: list[str], shared_data: Path
) -> None:
    got, _ = await _run(device, shared_data)
    by_time = {g.source_ns: g for g in got}
    for text in moments:
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
        ns = int(moment.timestamp()) * truth.SECOND + moment.microsecond * 1000
        assert by_time[ns].quality["lat"] == Quality.JUMP, text
        assert by_time[ns].values["lat"] is not None
