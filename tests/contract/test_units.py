"""Conversions against known figures, and the catalogue against the units."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.contract.catalogue import catalogue, find, is_identifier, is_measurement
from tocsin.contract.units import Linear, all_units, conversion, known

# (value, unit, value, unit); sources: NIST SP 811 appendix B, BIPM SI brochure
FIGURES: list[tuple[float, str, float, str]] = [
    (1, "[kn_i]", 0.514444444444, "m/s"),
    (1, "km/h", 0.277777777778, "m/s"),
    (1, "[mi_i]/h", 0.44704, "m/s"),
    (1, "[ft_i]/s", 0.3048, "m/s"),
    (1, "cm/s", 0.01, "m/s"),
    (7.1, "mm/s", 0.0071, "m/s"),
    (32, "[degF]", 0, "Cel"),
    (212, "[degF]", 100, "Cel"),
    (-40, "[degF]", -40, "Cel"),
    (0, "K", -273.15, "Cel"),
    (25, "Cel", 298.15, "K"),
    (25, "Cel", 77, "[degF]"),
    (20.9, "%{vol}", 209_000, "[ppm]"),
    (1000, "[ppb]", 1, "[ppm]"),
    (1, "mg/L", 1000, "mg/m3"),
    (1, "g/m3", 1000, "mg/m3"),
    (250, "ug/m3", 0.25, "mg/m3"),
    (1, "km", 1000, "m"),
    (1, "[ft_i]", 0.3048, "m"),
    (1, "[in_i]", 25.4, "mm"),
    (123, "cm", 1.23, "m"),
    (1, "[in_i]/h", 25.4, "mm/h"),
    (180, "deg", 3.14159265359, "rad"),
    (1, "[cft_i]/s", 0.028316846592, "m3/s"),
    (1, "m3", 1000, "L"),
    (3600, "m3/h", 1, "m3/s"),
    (1, "L/s", 0.001, "m3/s"),
    (60, "L/min", 1, "L/s"),
    (90.0, "m3/min", 1.5, "m3/s"),
    (1, "bar", 100, "kPa"),
    (1013.25, "hPa", 101.325, "kPa"),
    (1, "mbar", 1, "hPa"),
    (1, "MPa", 10, "bar"),
    (1, "[psi]", 6.89475729, "kPa"),
    (12_000, "mV", 12, "V"),
    (4, "mA", 0.004, "A"),
    (1.5, "kW", 1500, "W"),
    (1.5, "kvar", 1500, "var"),
    (1.5, "kV.A", 1500, "V.A"),
    (1000, "W.h", 1, "kW.h"),
    (1500, "ms", 1.5, "s"),
    (1, "min", 60, "s"),
    (1, "h", 60, "min"),
    (1, "mS/cm", 1000, "uS/cm"),
    (1, "Pa", 0.001, "kPa"),
]

# nothing else of their kind to convert to
ALONE = {"1", "%", "%{LEL}", "Hz", "dB", "{dBm}", "{NTU}", "{FNU}", "By", "kvar.h", "kV.A.h"}


@pytest.mark.parametrize(("value", "source", "expected", "target"), FIGURES)
def test_known_figures(value: float, source: str, expected: float, target: str) -> None:
    assert conversion(source, target)(value) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert conversion(target, source)(expected) == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_every_unit_that_converts_has_a_known_figure() -> None:
    told = {unit for _, source, _, target in FIGURES for unit in (source, target)}
    assert set(all_units()) == told | ALONE


@given(st.sampled_from(all_units()), st.sampled_from(all_units()), st.floats(-1e6, 1e6))
def test_there_and_back_is_where_one_was(source: str, target: str, value: float) -> None:
    try:
        there, back = conversion(source, target), conversion(target, source)
    except ValueError:
        with pytest.raises(ValueError, match="does not convert"):
            conversion(target, source)
    else:
        assert back(there(value)) == pytest.approx(value, rel=1e-9, abs=1e-6)


def test_a_unit_to_itself_changes_no_bit() -> None:
    assert all(conversion(unit, unit).is_identity for unit in all_units())
    assert Linear()(0.1) == 0.1


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [("[ppm]", "mg/m3", "does not convert"), ("m", "s", "does not convert"),
     ("furlong", "m", "unknown unit 'furlong'"), ("m", "ppm", "unknown unit 'ppm'")],
)  # fmt: skip
def test_what_measures_different_things_does_not_convert(
    source: str, target: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        conversion(source, target)


def test_every_quantity_of_the_catalogue_is_well_named_and_has_a_known_unit() -> None:
    for name, measurement in catalogue().items():
        assert is_measurement(name)
        assert measurement.en
        assert measurement.zh
        for quantity in measurement.quantities.values():
            assert known(quantity.unit), quantity
            assert is_identifier(quantity.name), quantity
            assert quantity.type in "fibs"
            assert quantity.en
            assert quantity.zh


def test_the_catalogue_answers_by_measurement_and_quantity() -> None:
    h2s = find("gas", "h2s")
    assert h2s is not None
    assert (h2s.unit, h2s.type) == ("[ppm]", "f")
    assert find("gas", "kryptonite") is None
    assert find("starship", "h2s") is None


@pytest.mark.parametrize(
    "name",
    ["", "H2S", "1st", "time", "site", "seq", "h2s_q", "h2s_raw", "a" * 41, "a b", 'a"', "é"],
)
def test_names_that_would_break_a_store_are_no_quantities(name: str) -> None:
    assert not is_identifier(name)


def test_figures_cover_both_directions_without_repeats() -> None:
    pairs = [(source, target) for _, source, _, target in FIGURES]
    repeats = [p for p, q in product(pairs, pairs) if p == q[::-1] and p[0] != p[1]]
    assert all(
        p in (("Cel", "[degF]"), ("[degF]", "Cel"), ("K", "Cel"), ("Cel", "K")) for p in repeats
    )
