"""Recordings with everything that goes wrong in them, and how fast they are played."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.drivers.replay.config import ReplayConfig
from edge.drivers.replay.driver import ReplayDriver
from edge.drivers.replay.times import reader
from tocsin.contract.quality import Quality
from tocsin.errors import DriverError, DriverReason
from tocsin.sdk import DriverContext, Sample, load_driver
from tocsin.testing import wait_until
from tocsin.testing.contexts import keeping

SECOND = 1_000_000_000


class SteppedClock:
    """A clock whose sleeps take no time and are added up."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def now_ns(self) -> int:
        return 1_800_000_000 * SECOND + self.mono_ns()

    def mono_ns(self) -> int:
        return int(self.slept_s * SECOND)

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        await asyncio.sleep(0)


class Agent:
    """What the agent would see of one replay."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()
        self.clock = SteppedClock()

    def driver(self, **config: Any) -> ReplayDriver:
        async def emit(sample: Sample) -> None:
            self.samples.append(sample)

        context = DriverContext(
            name="replay",
            clock=self.clock,
            log=logging.getLogger("test"),
            emit=emit,
            keep=keeping(emit),
            available=lambda _device: None,
            unavailable=lambda _device, _error: None,
            count=lambda name, n: self.counts.update({name: n}),
        )
        return ReplayDriver(_config(**config), context)

    @property
    def values(self) -> list[tuple[object, ...]]:
        return [s.values for s in self.samples]


def _config(**config: Any) -> ReplayConfig:
    return ReplayConfig.model_validate(
        {"type": "replay", "name": "r", "device": "d-1", "speed": "max", **config}
    )


def _csv(path: Path, text: str, **options: Any) -> dict[str, Any]:
    path.write_text(text, encoding=options.get("encoding", "utf-8"))
    table = {
        "time_columns": ["time"],
        "columns": [
            {"column": "a", "quantity": "level", "unit": "m"},
            {"column": "b", "quantity": "flow", "unit": "L/s"},
        ],
        **options,
    }
    return {"file": path, "format": "csv", "measurement": "water", "csv": table}


async def test_a_bad_cell_leaves_the_rest_of_its_row_alone(tmp_path: Path) -> None:
    agent = Agent()
    text = "time,a,b,c\n2026-01-01,1.5,oops,x\n2026-01-02,2_0,4\n2026-01-03,nan,6,\n2026-01-04,7\n"
    await agent.driver(**_csv(tmp_path / "x.csv", text)).run()
    assert agent.values == [(1.5, None), (None, 4.0), (None, 6.0), (7.0, None)]
    assert [s.quality for s in agent.samples] == [
        (0, Quality.BAD),
        (Quality.BAD, 0),
        (Quality.NOT_FINITE, 0),
        (0, Quality.MISSING),
    ]
    assert agent.counts == {"replay.bad_values": 2, "replay.rows": 4}


async def test_rows_without_a_time_and_blank_rows_are_counted_and_passed_over(
    tmp_path: Path,
) -> None:
    agent = Agent()
    text = "time,a,b,,\n2026-01-01,1,2,,\nyesterday,3,4,,\n,5,6,,\n,,,,\n\n2026-01-02,7,8,,\n,,,,\n"
    await agent.driver(**_csv(tmp_path / "x.csv", text)).run()
    assert agent.values == [(1.0, 2.0), (7.0, 8.0)]
    assert agent.counts == {"replay.bad_times": 2, "replay.blank_rows": 3, "replay.rows": 2}


async def test_marks_of_missing_values_hold_for_the_file_or_for_one_column(tmp_path: Path) -> None:
    agent = Agent()
    columns = [
        {"column": "a", "quantity": "level", "unit": "m", "missing": ["-1"]},
        {"column": "b", "quantity": "flow", "unit": "L/s"},
    ]
    text = "time,a,b\n2026-01-01,-1.0,-1\n2026-01-02,-200,-200.0\n2026-01-03,n/a,3\n"
    options = _csv(tmp_path / "x.csv", text, missing=["-200", "n/a"], columns=columns)
    await agent.driver(**options).run()
    assert agent.values == [(None, -1.0), (None, None), (None, 3.0)]
    assert agent.samples[1].quality == (Quality.MISSING, Quality.MISSING)


async def test_decimal_commas_quotes_and_a_byte_order_mark(tmp_path: Path) -> None:
    agent = Agent()
    text = '\ufefftime;a;b\n2026-01-01;"1,5";2\n2026-01-02;1.5;3\n'
    await agent.driver(**_csv(tmp_path / "x.csv", text, delimiter=";", decimal=",")).run()
    assert agent.values == [(1.5, 2.0), (None, 3.0)]


async def test_all_types_are_read(tmp_path: Path) -> None:
    agent = Agent()
    columns = [
        {"column": "a", "quantity": "n", "unit": "1", "type": "i"},
        {"column": "b", "quantity": "on", "unit": "1", "type": "b"},
        {"column": "c", "quantity": "note", "unit": "1", "type": "s"},
    ]
    text = "time,a,b,c\n0,12,yes,a text\n1,9223372036854775808,maybe,\n2,1.5,0,x\n"
    options = _csv(tmp_path / "x.csv", text, columns=columns, time_format="epoch")
    await agent.driver(**options).run()
    assert agent.values == [(12, True, "a text"), (None, None, None), (None, False, "x")]


async def test_equal_times_are_all_kept(tmp_path: Path) -> None:
    agent = Agent()
    await agent.driver(**_csv(tmp_path / "x.csv", "time,a,b\n" + "2026-01-01,1,2\n" * 5)).run()
    assert len(agent.samples) == 5
    assert len({s.source_ns for s in agent.samples}) == 1


async def test_recorded_time_is_kept_at_recorded_speed_or_a_multiple(tmp_path: Path) -> None:
    text = "time,a,b\n" + "".join(f"{s},1,2\n" for s in (0, 10, 30, 20, 50))
    options = _csv(tmp_path / "x.csv", text, time_format="epoch")
    for speed, gap_s, expected_s in (("real", None, 60.0), (10, None, 6.0), ("real", 5, 15.0)):
        agent = Agent()
        await agent.driver(**{**options, "speed": speed, "max_gap_s": gap_s}).run()
        assert agent.clock.slept_s == pytest.approx(expected_s)
        assert len(agent.samples) == 5


async def test_a_loop_plays_again_with_the_time_of_now(tmp_path: Path) -> None:
    agent = Agent()
    options = _csv(tmp_path / "x.csv", "time,a,b\n2026-01-01,1,2\n2026-01-02,3,4\n")
    driver = agent.driver(**{**options, "loop": True, "stamp": "now", "speed": 3600.0})
    task = asyncio.create_task(driver.run())
    await wait_until(lambda: len(agent.samples) > 6)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert {s.source_ns for s in agent.samples} == {None}


async def test_any_past_is_believed(tmp_path: Path) -> None:
    driver = Agent().driver(**_csv(tmp_path / "x.csv", "time,a,b\n"))
    assert driver.devices[0].window.max_past_s is None
    assert [c.unit for c in driver.devices[0].channels] == ["m", "L/s"]


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "No such file"), ("time,a\n1,2\n", "no column 'b'"), ("", "no column")],
)
async def test_a_file_that_is_not_as_declared_is_one_clear_error(
    text: str | None, said: str, tmp_path: Path
) -> None:
    options = _csv(tmp_path / "x.csv", text or "")
    if text is None:
        (tmp_path / "x.csv").unlink()
    agent = Agent()
    with pytest.raises(DriverError, match=said) as error:
        await agent.driver(**options).run()
    assert error.value.reason is DriverReason.BAD_FILE
    (line,) = await agent.driver(**options).probe()
    assert not line.ok


async def test_a_track_is_read_point_by_point(tmp_path: Path) -> None:
    path = tmp_path / "x.gpx"
    path.write_text(
        """<gpx xmlns="http://www.topografix.com/GPX/1/1" xmlns:t="urn:x"><metadata><time>2020-01-01T00:00:00Z</time></metadata>
        <wpt lat="1" lon="2"/><trk><trkseg/><trkseg>
        <trkpt lat="22.5" lon="114.25"><ele>3.5</ele><time>2026-01-01T08:00:00+08:00</time>
        <extensions><t:TrackPointExtension><t:speed>2.5</t:speed><t:course>90</t:course></t:TrackPointExtension></extensions></trkpt>
        <trkpt lat="91" lon="114"/><trkpt lon="x"><time>never</time></trkpt></trkseg></trk></gpx>"""
    )
    agent = Agent()
    driver = agent.driver(file=path, format="gpx")
    await driver.run()
    assert agent.values == [
        (22.5, 114.25, 3.5, 2.5, 90.0),
        (None, 114.0, None, None, None),
        (None, None, None, None, None),
    ]
    midnight = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * SECOND
    assert [s.source_ns for s in agent.samples] == [midnight, None, None]
    assert agent.counts["replay.bad_values"] == 2
    assert agent.counts["replay.bad_times"] == 1
    (line,) = await driver.probe()
    assert line.ok


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE gpx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><gpx><trk>&b;</trk></gpx>',
        '<!DOCTYPE gpx SYSTEM "file:///etc/passwd"><gpx/>',
        "<gpx><trk>",
        "not xml",
    ],
)
async def test_a_track_with_a_document_type_or_broken_xml_is_refused(
    text: str, tmp_path: Path
) -> None:
    for encoding in ("utf-8", "utf-16"):
        path = tmp_path / "x.gpx"
        path.write_text(text, encoding=encoding)
        with pytest.raises(DriverError) as error:
            await Agent().driver(file=path, format="gpx").run()
        assert error.value.reason is DriverReason.BAD_FILE


async def test_a_receivers_log_goes_through_the_same_merger_as_live_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(
        b"# note\n$GNRMC,171926.00,A,4404.14063,N,12118.85478,W,0.117,,180315,,,A*76\r\n$GPRMC,bad*01\n"
    )
    agent = Agent()
    await agent.driver(file=path, format="nmea").run()
    assert [s.values[:2] for s in agent.samples] == [(44.0690105, -121.3142463333)]
    assert agent.counts["nmea.bad_checksum"] == 1


@pytest.mark.parametrize(
    ("form", "zone", "text", "expected"),
    [
        ("iso", "UTC", "2026-01-01", "2026-01-01T00:00:00"),
        ("iso", "Asia/Shanghai", "2026-01-01T08:00:00", "2026-01-01T00:00:00"),
        ("iso", "Asia/Shanghai", "2026-01-01T08:00:00Z", "2026-01-01T08:00:00"),
        ("%d.%m.%Y %H:%M", "Europe/Berlin", "01.07.2026 02:00", "2026-07-01T00:00:00"),
        ("epoch", "UTC", "1767225600", "2026-01-01T00:00:00"),
        ("epoch_ms", "UTC", "1767225600000", "2026-01-01T00:00:00"),
    ],
)
def test_times_of_many_forms(form: str, zone: str, text: str, expected: str) -> None:
    moment = datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert reader(form, zone)(text) == int(moment.timestamp()) * SECOND


def test_epoch_times_keep_their_nanoseconds() -> None:
    assert reader("epoch", "UTC")("1767225600.123456789") == 1_767_225_600_123_456_789
    assert reader("epoch_ns", "UTC")("-5") == -5


@given(st.text(max_size=40))
def test_any_text_as_a_time_is_a_number_or_a_value_error(text: str) -> None:
    for form in ("iso", "epoch", "epoch_ns", "%Y-%m-%d"):
        with suppress(ValueError):
            assert isinstance(reader(form, "UTC")(text), int)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loop": True}, "loop needs"),
        ({"format": "gpx"}, "go together"),
        ({"csv": None}, "go together"),
        ({"speed": 0}, "greater than 0"),
        ({"device": "Not A Name"}, "pattern"),
    ],
)
def test_contradictions_in_the_configuration_are_refused(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=said):
        _config(**{**_csv(tmp_path / "x.csv", ""), **change})


def test_units_zones_and_quantities_are_checked(tmp_path: Path) -> None:
    column = {"column": "a", "quantity": "level", "unit": "m"}
    for options in (
        {"columns": [{**column, "unit": "furlong"}]},
        {"columns": [{**column, "quantity": "Level (m)"}]},
        {"columns": [column, {**column, "column": "b"}]},
        {"columns": [{**column, "flag_missing": ["x"]}]},
        {"time_zone": "Mars/Olympus"},
        {"delimiter": ",", "decimal": ","},
    ):
        with pytest.raises(ValidationError):
            _config(**_csv(tmp_path / "x.csv", "", **options))


def test_the_driver_is_found_under_its_name() -> None:
    assert load_driver("replay") is ReplayDriver
