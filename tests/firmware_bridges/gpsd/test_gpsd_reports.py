"""What gpsd reports, as positions; and whatever else a line may be."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.gpsd.reports import CHANNELS, Sky, decode_report, heard, sample, time_ns
from tocsin.contract.quality import Quality
from tocsin.errors import CodecError
from tocsin.sdk import DeviceSpec

SPEC = DeviceSpec("boat-1", "vehicle", CHANNELS)


def _values(report: dict[str, Any], sky: Sky = Sky()) -> dict[str, Any]:  # noqa: B008 - it is frozen
    one = sample(SPEC, report, sky, 5)
    return {c.quantity: v for c, v in zip(CHANNELS, one.values, strict=True)}


def test_every_known_report_is_the_position_it_says(shared_data: Path) -> None:
    file = json.loads((shared_data / "protocols" / "nmea0183_gpsd_tpv.json").read_text("utf-8"))
    compared = 0
    for vector in file["vectors"]:
        for report in vector["gpsd_tpv"]:
            values = _values(report)
            fixed = report["mode"] > 1 and "lat" in report
            assert values["fix"] == (report["mode"] if fixed else 0)
            for ours, theirs in (
                ("lat", "lat"),
                ("lon", "lon"),
                ("alt", "altMSL"),
                ("speed", "speed"),
            ):
                assert values[ours] == (report.get(theirs) if fixed else None)
            if "time" in report:
                stamp = datetime.fromisoformat(report["time"]).timestamp()
                assert (time_ns(report) or 0) / 1e9 == pytest.approx(stamp, abs=1e-6)
            compared += 1
    assert compared > 100


@pytest.mark.parametrize("mode", [None, 0, 1, "3", 7, True])
def test_without_a_fix_there_is_no_position(mode: object) -> None:
    one = sample(
        SPEC, {"class": "TPV", "mode": mode, "lat": 1.0, "lon": 2.0, "speed": 3.0}, Sky(), 5
    )
    assert one.values[:6] == (None,) * 5 + (0,)
    assert one.quality is not None
    assert one.quality[:5] == (int(Quality.NO_FIX),) * 5


def test_the_sky_is_told_beside_the_position() -> None:
    sky = heard(Sky(), {"class": "SKY", "uSat": 14, "hdop": 0.9})
    sky = heard(sky, {"class": "GST", "lat": 3.0, "lon": 4.0})
    values = _values(
        {"class": "TPV", "mode": 3, "lat": 1.0, "lon": 2.0, "alt": 7, "track": 90}, sky
    )
    told = [values[q] for q in ("satellites", "hdop", "accuracy", "alt", "course")]
    assert told == [14, 0.9, 5.0, 7.0, 90.0]
    old = heard(
        Sky(), {"class": "SKY", "hdop": 99.9, "satellites": [{"used": True}, {"used": False}, 5]}
    )
    assert (old.satellites, old.hdop) == (1, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    ["mode", "time", "lat", "lon", "altMSL", "alt", "speed", "track", "uSat", "hdop", "satellites"]
)


@given(st.dictionaries(keys, json_values), st.sampled_from(["TPV", "SKY", "GST"]))
def test_no_report_breaks_it(report: dict[str, Any], kind: str) -> None:
    told = report | {"class": kind}
    one = sample(SPEC, told, heard(Sky(), told), 5)
    assert (one.values[5] == 0) is (one.values[0] is None)


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_no_line_breaks_it(line: bytes) -> None:
    try:
        assert "class" in decode_report(line)
    except CodecError:
        return
