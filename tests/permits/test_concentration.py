"""mg/m3 and ppm: the figures of the study, and that what was measured is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.permits.concentration import MOLAR_MASS, convert, molar_volume_l


@pytest.mark.parametrize(
    ("gas", "mg_m3", "ppm"), [("h2s", 10.0, 7.06), ("co", 20.0, 17.2), ("co", 30.0, 25.8)]
)
def test_limits_in_mass_are_these_in_volume_at_20_c(gas: str, mg_m3: float, ppm: float) -> None:
    found = convert(gas, mg_m3, "mg/m3", "[ppm]", 20.0)
    assert found is not None
    assert found.value == pytest.approx(ppm, abs=0.05)
    assert (found.raw, found.raw_unit, found.reference_c) == (mg_m3, "mg/m3", 20.0)


def test_the_reference_temperature_decides() -> None:
    assert molar_volume_l(25.0) == pytest.approx(24.465, abs=0.001)
    assert molar_volume_l(20.0) == pytest.approx(24.055, abs=0.001)
    cold, warm = (convert("h2s", 10.0, "mg/m3", "[ppm]", t) for t in (20.0, 25.0))
    assert cold
    assert warm
    assert warm.value / cold.value == pytest.approx(298.15 / 293.15)


@given(st.sampled_from(sorted(MOLAR_MASS)), st.floats(0, 1e6), st.floats(-40, 50))
def test_there_and_back_is_the_same_value(gas: str, value: float, reference_c: float) -> None:
    there = convert(gas, value, "[ppb]", "ug/m3", reference_c)
    assert there is not None
    back = convert(gas, there.value, "ug/m3", "[ppb]", reference_c)
    assert back is not None
    assert back.value == pytest.approx(value)


def test_units_without_a_way_to_one_another_are_none() -> None:
    assert convert("ex", 10.0, "%{LEL}", "mg/m3", 20.0) is None
    assert convert("voc", 10.0, "[ppm]", "mg/m3", 20.0) is None
    assert convert("o2", 20.9, "%{vol}", "furlong", 20.0) is None
    same = convert("ex", 10.0, "%{LEL}", "%{LEL}", 20.0)
    assert same is not None
    assert same.reference_c is None
