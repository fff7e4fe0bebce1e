"""Every recording through driver, outbox, broker, ingest and store: what the store returns against the file itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.traces import compare, recordings, truth
from tests.traces.chain import ROLLOVER, ROLLOVER_FIXES, ROLLOVER_NS, Chain, run_chain
from tocsin.contract.quality import Quality

pytestmark = pytest.mark.timeout(600)
TABLES = {table["device"]: table for table in recordings.tables()}


def _devices(form: str) -> list[str]:
    return [name for name, table in TABLES.items() if table["format"] == form]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Chain]:
    with run_chain(tmp_path_factory.mktemp("chain"), shared_data) as running:
        yield running


@pytest.mark.parametrize("device", _devices("csv"))
def test_the_store_returns_every_cell(device: str, chain: Chain, shared_data: Path) -> None:
    table = TABLES[device]
    expected = truth.CSV_TRUTH[device](shared_data / table["file"])
    assert compare.readings(expected, chain.rows(table["measurement"], device)) == []


@pytest.mark.parametrize("device", _devices("gpx"))
def test_the_store_returns_every_track_point(device: str, chain: Chain, shared_data: Path) -> None:
    expected = truth.gpx(shared_data / TABLES[device]["file"])
    assert compare.readings(expected, chain.rows("vehicle", device)) == []


@pytest.mark.parametrize("device", _devices("nmea"))
def test_the_store_returns_every_stated_position(
    device: str, chain: Chain, shared_data: Path
) -> None:
    order = chain_order(chain, device)
    in_order = sorted(chain.rows("vehicle", device), key=lambda row: order[row.time_ns])
    assert compare.positions(truth.nmea(shared_data / TABLES[device]["file"]), in_order) == []


def chain_order(chain: Chain, device: str) -> dict[int, int]:
    """Sequence number of each row: the order in which the gateway took them."""
    found = chain.query(f"SELECT time, seq FROM vehicle WHERE device = '{device}'")
    return {row["time"]: row["seq"] for row in found}


def test_stored_positions_agree_with_gpsd(chain: Chain, shared_data: Path) -> None:
    vectors = json.loads((shared_data / "protocols/nmea0183_gpsd_tpv.json").read_text())["vectors"]
    for vector in vectors:
        device = f"nmea-{vector['log'].lower()}"
        order = chain_order(chain, device)
        rows = sorted(chain.rows("vehicle", device), key=lambda row: order[row.time_ns])
        assert (device, compare.gpsd(vector["gpsd_tpv"], rows)) == (device, [])


def test_nothing_without_a_fix_has_a_position(chain: Chain) -> None:
    rows = [row for device in _devices("nmea") for row in chain.rows("vehicle", device)]
    without = [row for row in rows if row.values["fix"] == 0]
    assert without
    assert {row.values["lat"] for row in without} == {None}
    assert {row.quality["lat"] for row in without} == {Quality.NO_FIX}
    assert not any(row.values["lat"] == 0.0 and row.values["lon"] == 0.0 for row in rows)


def test_jumps_while_standing_are_kept_and_flagged(chain: Chain) -> None:
    rows = chain.rows("vehicle", "nmea-quectel-eg25-g")
    flagged = [row for row in rows if row.quality["lat"] == Quality.JUMP]
    assert flagged
    assert all(row.values["lat"] is not None for row in flagged)


def test_dates_in_2034_are_kept_and_flagged_and_not_believed(chain: Chain) -> None:
    rows = chain.rows("vehicle", ROLLOVER)
    claimed = [ROLLOVER_NS + i * truth.SECOND for i in range(ROLLOVER_FIXES)]
    assert [row.source_ns for row in rows] == claimed
    now_ns = time.time_ns()
    for row in rows:
        assert now_ns - 3600 * truth.SECOND < row.time_ns < now_ns
        assert row.values["lat"] is not None
        assert row.quality["lat"] == row.quality["speed"] == Quality.SOURCE_TIME


def test_nothing_is_doubled_and_nothing_is_left_behind(chain: Chain) -> None:
    stored = chain.query(
        "SELECT device, count(*) AS n, count(DISTINCT seq) AS numbers FROM vehicle GROUP BY device"
    )
    assert {row["device"] for row in stored} == {*_devices("nmea"), *_devices("gpx"), ROLLOVER}
    assert all(row["n"] == row["numbers"] for row in stored)
    assert chain.status["suppressed_readings"] == 0
    assert chain.status["pending_rows"] == 0
