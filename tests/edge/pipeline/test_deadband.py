"""Report by exception: what is left out, and what never is."""

from __future__ import annotations

from edge.pipeline import AlarmRule, CheckRule, Pipeline
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel, DeviceSpec, Sample

NOW = 1_800_000_000_000_000_000
S = 1_000_000_000
DEVICE = DeviceSpec("gas-01", "gas", (Channel("h2s", "[ppm]"), Channel("o2", "%{vol}")))
BAND = CheckRule("gas-01", "h2s", deadband=0.5, deadband_max_ns=60 * S)


def run(pipeline: Pipeline, *steps: tuple[float, tuple[Value, ...]]) -> tuple[list[float], int]:
    """(seconds of the stored rows, readings suppressed)."""
    stored, suppressed = [], 0
    for seconds, values in steps:
        out = pipeline.process(Sample(DEVICE, NOW, values), int(seconds * S))
        suppressed += out.suppressed
        if out.rows:
            stored.append(seconds)
    return stored, suppressed


def test_a_row_is_left_out_while_nothing_in_it_moved() -> None:
    steps = [(0, (1.0, 20.9)), (1, (1.5, 20.9)), (2, (0.5, 20.9)), (3, (1.51, 20.9))]
    assert run(Pipeline([DEVICE], [BAND]), *steps) == ([0, 3], 4)


def test_the_last_stored_row_is_the_measure_so_slow_drift_is_seen() -> None:
    steps = [(i, (1.0 + 0.2 * i, 20.9)) for i in range(7)]
    assert run(Pipeline([DEVICE], [BAND]), *steps) == ([0, 3, 6], 8)


def test_a_quantity_without_a_band_of_its_own_stores_the_row_on_any_change() -> None:
    steps = [(0, (1.0, 20.9)), (1, (1.0, 20.8)), (2, (1.0, 20.8))]
    assert run(Pipeline([DEVICE], [BAND]), *steps) == ([0, 1], 2)


def test_a_row_is_stored_at_least_so_often() -> None:
    steps = [(s, (1.0, 20.9)) for s in (0, 59.999, 60, 119, 120)]
    assert run(Pipeline([DEVICE], [BAND]), *steps) == ([0, 60, 120], 4)


def test_a_change_of_quality_is_stored() -> None:
    checks = [BAND, CheckRule("gas-01", "o2", flatline_ns=2 * S)]
    pipeline = Pipeline([DEVICE], checks)
    steps = [(s, (1.0, 20.9)) for s in (0, 1, 2, 3)]
    assert run(pipeline, *steps) == ([0, 2], 4)


def test_a_value_that_disappears_is_stored_and_only_values_count_as_suppressed() -> None:
    steps = [(0, (1.0, 20.9)), (1, (1.0, None)), (2, (1.0, None))]
    assert run(Pipeline([DEVICE], [BAND]), *steps) == ([0, 1], 1)


def test_values_at_or_beyond_a_limit_are_never_left_out() -> None:
    alarm = AlarmRule("gas-01", "h2s", "h2s-high", level1=10.0, hysteresis=1.0)
    pipeline = Pipeline([DEVICE], [BAND], [alarm])
    steps = [
        (0, (8.0, 20.9)),
        (1, (8.1, 20.9)),
        (2, (9.5, 20.9)),
        (3, (9.5, 20.9)),
        (4, (10.0, 20.9)),
    ]
    assert run(pipeline, *steps) == ([0, 2, 3, 4], 2)


def test_while_a_latched_alarm_is_open_every_row_is_stored() -> None:
    alarm = AlarmRule("gas-01", "h2s", "h2s-high", level1=10.0)
    pipeline = Pipeline([DEVICE], [BAND], [alarm])
    steps = [(0, (12.0, 20.9)), (1, (1.0, 20.9)), (2, (1.0, 20.9)), (3, (1.0, 20.9))]
    assert run(pipeline, *steps) == ([0, 1, 2, 3], 0)


def test_bad_values_that_stay_the_same_are_left_out_too() -> None:
    pipeline = Pipeline([DEVICE], [BAND])
    codes = (int(Quality.COMMS), int(Quality.COMMS))
    rows = [
        pipeline.process(Sample(DEVICE, NOW, (None, None), None, codes), i * S).rows
        for i in range(3)
    ]
    assert [len(r) for r in rows] == [1, 0, 0]
