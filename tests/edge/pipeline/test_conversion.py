"""Scaling and units: canonical out, raw kept where the unit changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pipeline import Pipeline
from edge.pipeline.convert import Scale
from tocsin.contract.catalogue import Value
from tocsin.contract.columns import Row
from tocsin.contract.quality import Quality
from tocsin.contract.units import Linear
from tocsin.sdk import Channel, DeviceSpec, Sample


def one(channel: Channel, value: Value, measurement: str = "gas") -> Row:
    """The row one value of one channel becomes."""
    device = DeviceSpec("d-1", measurement, (channel,))
    (row,) = Pipeline([device]).process(Sample(device, 1, (value,)), 0).rows
    return row


def test_a_canonical_value_passes_as_it_is() -> None:
    row = one(Channel("h2s", "[ppm]"), 3.2)
    assert (row.values, row.raw, row.layout.raw_units) == ((3.2,), None, None)


def test_tenths_come_out_as_the_decimal_that_was_meant() -> None:
    row = one(Channel("o2", "%{vol}", scale=0.1), 209)
    assert row.values == (20.9,)
    assert row.raw is None


def test_a_converted_value_keeps_its_raw_value_and_unit() -> None:
    row = one(Channel("temperature", "[degF]", scale=0.1), 500)
    assert row.values[0] == pytest.approx(10.0)
    assert row.raw == (50.0,)
    assert row.layout.raw_units == ("[degF]",)


def test_only_converted_columns_have_raw_values() -> None:
    device = DeviceSpec("v", "vehicle", (Channel("speed", "[kn_i]"), Channel("alt", "m")))
    (row,) = Pipeline([device]).process(Sample(device, 1, (10.0, 5.0)), 0).rows
    assert row.layout.raw_units == ("[kn_i]", "")
    assert row.raw == (10.0, None)
    assert row.values[0] == pytest.approx(5.144444)


def test_a_quantity_outside_the_catalogue_keeps_its_unit() -> None:
    row = one(Channel("bed_tilt", "deg", scale=0.5), 3)
    assert row.values == (1.5,)


def test_an_offset_applies_after_the_scale() -> None:
    assert one(Channel("temperature", "Cel", scale=0.1, offset=-40.0), 650).values == (25.0,)


@pytest.mark.parametrize(
    ("measurement", "channel", "said"),
    [
        ("gas", Channel("h2s", "mg/m3"), "does not convert"),
        ("gas", Channel("h2s", "[ppm]", "s"), "'s'"),
        ("gas", Channel("status", "1", "i", scale=0.1), "and scales it"),
        ("gas", Channel("h2s_q", "[ppm]"), "cannot name a quantity"),
    ],
)
def test_a_channel_that_cannot_become_canonical_is_refused_at_start(
    measurement: str, channel: Channel, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Pipeline([DeviceSpec("d-1", measurement, (channel,))])


def test_a_value_of_another_type_is_absent_and_bad() -> None:
    row = one(Channel("h2s", "[ppm]"), "high")
    assert (row.values, row.quality) == ((None,), (Quality.BAD,))


def test_text_and_truth_pass() -> None:
    device = DeviceSpec("m", "machine", (Channel("running", "1", "b"), Channel("note", "1", "s")))
    (row,) = Pipeline([device]).process(Sample(device, 1, (True, "warm")), 0).rows
    assert row.values == (True, "warm")


@given(st.integers(-(2**31), 2**31), st.integers(1, 6))
def test_a_decimal_scale_rounds_once(n: int, digits: int) -> None:
    assert Scale(Linear(10.0**-digits))(n) == n / 10**digits


@given(st.floats(-1e9, 1e9), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_any_scale_is_linear(x: float, scale: float, offset: float) -> None:
    assert Scale(Linear(scale, offset))(x) == pytest.approx(x * scale + offset, rel=1e-12)
