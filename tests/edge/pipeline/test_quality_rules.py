"""Every quality rule, at its exact border."""

from __future__ import annotations

import math

import pytest

from edge.pipeline import CheckRule, Pipeline
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel, DeviceSpec, Sample

NOW = 1_800_000_000_000_000_000
S = 1_000_000_000
DEVICE = DeviceSpec("gas-01", "gas", (Channel("h2s", "[ppm]"), Channel("o2", "%{vol}")))


def judge(
    rule: CheckRule, *steps: tuple[float, Value], source: bool = False, given: int = 0
) -> list[int]:
    """Quality of h2s for (seconds, value) steps; the seconds are the source's or the monotonic clock's."""
    pipeline = Pipeline([DEVICE], [rule])
    found = []
    for seconds, value in steps:
        at = int(seconds * S)
        sample = Sample(
            DEVICE,
            NOW + at,
            (value, 20.9),
            NOW + at if source else None,
            (given, 0) if given else None,
        )
        (row,) = pipeline.process(sample, 0 if source else at).rows
        found.append(row.quality[0] if row.quality else 0)
    return found


def rule(
    low: float | None = None,
    high: float | None = None,
    rate_per_s: float | None = None,
    flatline_s: float | None = None,
    stale_s: float | None = None,
) -> CheckRule:
    """A rule for h2s."""
    return CheckRule(
        "gas-01",
        "h2s",
        low,
        high,
        rate_per_s,
        None if flatline_s is None else int(flatline_s * S),
        None if stale_s is None else int(stale_s * S),
    )


def test_outside_the_range_is_bad_and_its_borders_are_inside() -> None:
    steps = [(0, 0.0), (1, 100.0), (2, -0.001), (3, 100.001), (4, 50.0)]
    bad = int(Quality.RANGE)
    assert judge(rule(low=0, high=100), *steps) == [0, 0, bad, bad, 0]


def test_faster_than_the_sensor_can_is_uncertain() -> None:
    steps = [(0, 10.0), (1, 15.0), (2, 20.1), (4, 30.0), (5, 24.9)]
    assert judge(rule(rate_per_s=5.0), *steps) == [0, 0, Quality.RATE, 0, Quality.RATE]


def test_a_value_out_of_range_is_no_reference_for_the_rate() -> None:
    steps = [(0, 10.0), (1, 500.0), (2, 12.0)]
    assert judge(rule(high=100, rate_per_s=5.0), *steps) == [0, Quality.RANGE, 0]


def test_unmoved_for_the_whole_time_is_a_flatline_until_it_moves() -> None:
    steps = [(0, 7.0), (9.999, 7.0), (10, 7.0), (11, 7.0), (12, 7.5), (13, 7.5)]
    flat = int(Quality.FLATLINE)
    assert judge(rule(flatline_s=10), *steps) == [0, 0, flat, flat, 0, 0]


@pytest.mark.parametrize("source", [False, True])
def test_rate_and_flatline_count_on_the_sources_time_where_there_is_one(source: bool) -> None:
    steps = [(0, 1.0), (1, 9.0), (11, 9.0)]
    found = judge(rule(rate_per_s=5, flatline_s=10), *steps, source=source)
    assert found == [0, Quality.RATE, Quality.FLATLINE]


def test_a_source_time_that_stands_still_is_stale() -> None:
    pipeline = Pipeline([DEVICE], [rule(stale_s=5)])
    found = []
    for seconds in (0, 4, 5, 6):
        sample = Sample(DEVICE, NOW + seconds * S, (1.0, 20.9), NOW)
        (row,) = pipeline.process(sample, seconds * S).rows
        found.append(row.quality)
    assert found == [None, None, (Quality.STALE, 0), (Quality.STALE, 0)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -(10**400)])
def test_what_is_not_finite_becomes_absent_and_bad(value: float) -> None:
    (row,) = Pipeline([DEVICE]).process(Sample(DEVICE, NOW, (value, 20.9)), 0).rows
    assert row.values == (None, 20.9)
    assert row.quality == (Quality.NOT_FINITE, 0)


def test_infinities_that_cancel_out_are_still_found() -> None:
    sample = Sample(DEVICE, NOW, (math.inf, -math.inf))
    (row,) = Pipeline([DEVICE]).process(sample, 0).rows
    assert row.values == (None, None)


def test_finite_values_whose_sum_is_not_finite_pass() -> None:
    (row,) = Pipeline([DEVICE]).process(Sample(DEVICE, NOW, (1.7e308, 1.7e308)), 0).rows
    assert row.values == (1.7e308, 1.7e308)
    assert row.quality is None


def test_a_bad_value_is_kept() -> None:
    pipeline = Pipeline([DEVICE], [rule(high=100)])
    (row,) = pipeline.process(Sample(DEVICE, NOW, (250.0, 20.9)), 0).rows
    assert row.values == (250.0, 20.9)


def test_what_the_driver_said_stays_unless_the_finding_is_more_serious() -> None:
    checks = rule(high=100, flatline_s=1)
    warm, fault = int(Quality.WARM_UP), int(Quality.DEVICE_FAULT)
    assert judge(checks, (0, 5.0), (2, 5.0), (3, 200.0), given=warm) == [warm, warm, Quality.RANGE]
    assert judge(checks, (0, 5.0), (3, 200.0), given=fault) == [fault, fault]


def test_an_absent_value_keeps_the_reason_the_driver_gave() -> None:
    assert judge(rule(high=1), (0, None), given=int(Quality.MISSING)) == [Quality.MISSING]


def test_a_scan_without_any_value_or_reason_is_no_row() -> None:
    assert Pipeline([DEVICE]).process(Sample(DEVICE, NOW, (None, None)), 0).rows == []


def test_an_unanswered_scan_is_a_row_of_reasons() -> None:
    codes = (int(Quality.COMMS), int(Quality.COMMS))
    (row,) = Pipeline([DEVICE]).process(Sample(DEVICE, NOW, (None, None), None, codes), 0).rows
    assert (row.values, row.quality) == ((None, None), codes)
