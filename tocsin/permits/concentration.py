"""Volume fraction and mass concentration of a gas: at which temperature the mg/m3 is meant decides, so it is always named.

The ideal gas at 101.325 kPa: `ppm = mg/m3 * V / M`, molar volume `V = R * T / p` in L/mol, `M` in g/mol (IUPAC 2021 atomic weights).
"""

from __future__ import annotations

import msgspec

from tocsin.contract.units import Linear, conversion

GAS_CONSTANT = 8.314462618  # J/(mol K), CODATA 2018
PRESSURE_KPA = 101.325
ZERO_CELSIUS_K = 273.15
MOLAR_MASS = {  # g/mol
    "h2s": 34.08,
    "co": 28.010,
    "so2": 64.06,
    "nh3": 17.031,
    "cl2": 70.90,
    "c6h6": 78.114,
    "co2": 44.009,
    "o2": 31.998,
    "ch4": 16.043,
}
_PPM, _MASS = "[ppm]", "mg/m3"


class Converted(msgspec.Struct, frozen=True):
    """A value in the unit of a rule, with what was measured and how one came from the other."""

    value: float
    unit: str
    raw: float
    raw_unit: str
    reference_c: float | None = None  # where mass and volume were exchanged


def molar_volume_l(reference_c: float) -> float:
    """Litres that one mole of an ideal gas takes at `reference_c` and 101.325 kPa."""
    return GAS_CONSTANT * (reference_c + ZERO_CELSIUS_K) / PRESSURE_KPA


def convert(
    quantity: str, value: float, unit: str, wanted: str, reference_c: float
) -> Converted | None:
    """`value` of the gas `quantity` in the unit `wanted`; None where the two units have no way to one another."""
    if unit == wanted:
        return Converted(value, wanted, value, unit)
    direct = _map(unit, wanted)
    if direct is not None:
        return Converted(direct(value), wanted, value, unit)
    mass = MOLAR_MASS.get(quantity)
    if mass is None:
        return None
    factor = molar_volume_l(reference_c) / mass  # ppm per mg/m3
    for here, there, by in ((_MASS, _PPM, factor), (_PPM, _MASS, 1 / factor)):
        before, after = _map(unit, here), _map(there, wanted)
        if before is not None and after is not None:
            return Converted(after(before(value) * by), wanted, value, unit, reference_c)
    return None


def _map(source: str, target: str) -> Linear | None:
    try:
        return conversion(source, target)
    except ValueError:
        return None
