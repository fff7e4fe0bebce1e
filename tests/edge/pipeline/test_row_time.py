"""Which time a row gets, and what a stepping clock does to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pipeline import Pipeline
from edge.pipeline.stamps import Epochs, Stamps
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel, DeviceSpec, Sample, SourceWindow

NOW = 1_800_000_000_000_000_000
S = 1_000_000_000


def spec(window: SourceWindow | None = None) -> DeviceSpec:
    """A device of one quantity."""
    return DeviceSpec(
        "river-01", "water", (Channel("level", "m"),), window=window or SourceWindow()
    )


def row_of(pipeline: Pipeline, sample: Sample) -> tuple[int, int | None, tuple[int, ...] | None]:
    """(time, source time, quality) of the one row a sample becomes."""
    (row,) = pipeline.process(sample, 0).rows
    return row.time_ns, row.source_ns, row.quality


def test_without_source_time_the_gateways_stamp_counts() -> None:
    device = spec()
    assert row_of(Pipeline([device]), Sample(device, NOW, (1.5,))) == (NOW, None, None)


@pytest.mark.parametrize("offset_s", [-86_400, -1, 0, 300])
def test_a_source_time_inside_the_window_is_believed(offset_s: int) -> None:
    device = spec()
    source = NOW + offset_s * S
    found = row_of(Pipeline([device]), Sample(device, NOW, (1.5,), source))
    assert found == (source, source, None)


@pytest.mark.parametrize("offset_s", [-86_401, 301, 8 * 365 * 86_400])
def test_an_implausible_source_time_is_kept_and_flagged(offset_s: int) -> None:
    device = spec()
    source = NOW + offset_s * S
    found = row_of(Pipeline([device]), Sample(device, NOW, (1.5,), source))
    assert found == (NOW, source, (Quality.SOURCE_TIME,))


def test_a_replay_believes_any_past_but_no_future() -> None:
    device = spec(SourceWindow(max_past_s=None, max_future_s=1e9))
    pipeline = Pipeline([device])
    assert row_of(pipeline, Sample(device, NOW, (1.0,), 0))[0] == 0
    ahead = NOW + 301 * S
    assert row_of(pipeline, Sample(device, NOW, (1.0,), ahead)) == (
        NOW,
        ahead,
        (Quality.SOURCE_TIME,),
    )


def test_an_implausible_time_leaves_absent_values_unmarked() -> None:
    device = DeviceSpec("r", "water", (Channel("level", "m"), Channel("flow", "m3/s")))
    (row,) = Pipeline([device]).process(Sample(device, NOW, (1.0, None), 1), 0).rows
    assert row.quality == (Quality.SOURCE_TIME, 0)


def test_equal_source_times_get_one_nanosecond_each() -> None:
    stamps = Stamps(SourceWindow())
    assert [stamps.place(NOW, NOW)[0] for _ in range(3)] == [NOW, NOW + 1, NOW + 2]
    assert stamps.place(NOW, NOW - S)[0] == NOW - S
    assert stamps.place(NOW, NOW)[0] == NOW + 3


def test_a_repeat_never_takes_the_stamp_of_another_source_time() -> None:
    stamps = Stamps(SourceWindow())
    found = [stamps.place(NOW, t)[0] for t in (NOW, NOW + 1, NOW, NOW)]
    assert len(set(found)) == 4


def test_gateway_stamps_of_a_device_increase_strictly() -> None:
    stamps = Stamps(SourceWindow())
    found = [stamps.place(t, None)[0] for t in (NOW, NOW, NOW - 10, NOW + 5)]
    assert found == [NOW, NOW + 1, NOW + 2, NOW + 5]


@given(st.lists(st.integers(-S * 2 // 5, S * 2 // 5), max_size=50))
def test_any_jitter_below_a_second_keeps_the_order(jitter: list[int]) -> None:
    stamps = Stamps(SourceWindow())
    found = [stamps.place(NOW + j, None)[0] for j in jitter]
    assert found == sorted(set(found))


def test_a_step_back_of_more_than_a_second_is_followed() -> None:
    stamps = Stamps(SourceWindow())
    assert stamps.place(NOW, None)[0] == NOW
    assert stamps.place(NOW - 3600 * S, None)[0] == NOW - 3600 * S
    assert stamps.place(NOW - 3599 * S, None)[0] == NOW - 3599 * S


def test_only_a_backward_step_against_the_monotonic_clock_opens_an_epoch() -> None:
    epochs = Epochs()
    assert epochs.observe(NOW, 0) is None
    assert epochs.observe(NOW + 10 * S, 10 * S) is None
    assert epochs.observe(NOW + 9 * S + 1, 10 * S) is None
    assert epochs.observe(NOW + 900 * S, 11 * S) is None
    step = epochs.observe(NOW + 12 * S, 12 * S)
    assert step is not None
    assert (step.epoch, step.step_ns, step.wall_ns) == (1, -889 * S, NOW + 12 * S)
    assert epochs.observe(NOW + 13 * S, 13 * S) is None
    assert epochs.epoch == 1
