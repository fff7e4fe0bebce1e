"""Units by their UCUM code (ucum.org, case-sensitive form) and the linear conversions between them.

Only what the catalogue and the shipped device profiles need; `%{LEL}`, `{NTU}` and `{dBm}` use UCUM annotations.
Gas mass and volume fractions are not interchangeable without molar mass and temperature, so they do not convert here.
"""

from __future__ import annotations

import math

import msgspec


class Linear(msgspec.Struct, frozen=True):
    """`y = x * scale + offset`."""

    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, x: float) -> float:
        return x * self.scale + self.offset

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.scale == 1.0 and self.offset == 0.0


# unit -> (dimension, scale, offset): value in the dimension's base = value * scale + offset
_UNITS: dict[str, tuple[str, float, float]] = {
    "1": ("one", 1.0, 0.0),
    "%": ("percent", 1.0, 0.0),
    "%{LEL}": ("lel", 1.0, 0.0),
    "%{vol}": ("volume-fraction", 1e4, 0.0),
    "[ppm]": ("volume-fraction", 1.0, 0.0),
    "[ppb]": ("volume-fraction", 1e-3, 0.0),
    "mg/m3": ("mass-concentration", 1.0, 0.0),
    "ug/m3": ("mass-concentration", 1e-3, 0.0),
    "g/m3": ("mass-concentration", 1e3, 0.0),
    "mg/L": ("mass-concentration", 1e3, 0.0),
    "Cel": ("temperature", 1.0, 0.0),
    "K": ("temperature", 1.0, -273.15),
    "[degF]": ("temperature", 5.0 / 9.0, -160.0 / 9.0),
    "m": ("length", 1.0, 0.0),
    "km": ("length", 1e3, 0.0),
    "cm": ("length", 1e-2, 0.0),
    "mm": ("length", 1e-3, 0.0),
    "[in_i]": ("length", 0.0254, 0.0),
    "[ft_i]": ("length", 0.3048, 0.0),
    "mm/h": ("rain-rate", 1.0, 0.0),
    "[in_i]/h": ("rain-rate", 25.4, 0.0),
    "m/s": ("speed", 1.0, 0.0),
    "cm/s": ("speed", 1e-2, 0.0),
    "mm/s": ("speed", 1e-3, 0.0),
    "[ft_i]/s": ("speed", 0.3048, 0.0),
    "[mi_i]/h": ("speed", 1609.344 / 3600.0, 0.0),
    "km/h": ("speed", 1.0 / 3.6, 0.0),
    "[kn_i]": ("speed", 1852.0 / 3600.0, 0.0),
    "deg": ("angle", 1.0, 0.0),
    "rad": ("angle", 180.0 / math.pi, 0.0),
    "m3": ("volume", 1.0, 0.0),
    "L": ("volume", 1e-3, 0.0),
    "m3/s": ("flow", 1.0, 0.0),
    "m3/h": ("flow", 1.0 / 3600.0, 0.0),
    "m3/min": ("flow", 1.0 / 60.0, 0.0),
    "L/s": ("flow", 1e-3, 0.0),
    "L/min": ("flow", 1e-3 / 60.0, 0.0),
    "[cft_i]/s": ("flow", 0.3048**3, 0.0),
    "Pa": ("pressure", 1.0, 0.0),
    "hPa": ("pressure", 1e2, 0.0),
    "kPa": ("pressure", 1e3, 0.0),
    "MPa": ("pressure", 1e6, 0.0),
    "mbar": ("pressure", 1e2, 0.0),
    "bar": ("pressure", 1e5, 0.0),
    "[psi]": ("pressure", 6894.757293168361, 0.0),
    "V": ("voltage", 1.0, 0.0),
    "mV": ("voltage", 1e-3, 0.0),
    "A": ("current", 1.0, 0.0),
    "mA": ("current", 1e-3, 0.0),
    "W": ("power", 1.0, 0.0),
    "kW": ("power", 1e3, 0.0),
    "var": ("reactive-power", 1.0, 0.0),
    "kvar": ("reactive-power", 1e3, 0.0),
    "V.A": ("apparent-power", 1.0, 0.0),
    "kV.A": ("apparent-power", 1e3, 0.0),
    "kvar.h": ("reactive-energy", 1.0, 0.0),
    "kV.A.h": ("apparent-energy", 1.0, 0.0),
    "kW.h": ("energy", 1.0, 0.0),
    "W.h": ("energy", 1e-3, 0.0),
    "Hz": ("frequency", 1.0, 0.0),
    "s": ("time", 1.0, 0.0),
    "ms": ("time", 1e-3, 0.0),
    "min": ("time", 60.0, 0.0),
    "h": ("time", 3600.0, 0.0),
    "{dBm}": ("signal", 1.0, 0.0),
    "uS/cm": ("conductivity", 1.0, 0.0),
    "mS/cm": ("conductivity", 1e3, 0.0),
    "dB": ("sound", 1.0, 0.0),
    "{NTU}": ("turbidity", 1.0, 0.0),
    "{FNU}": ("turbidity", 1.0, 0.0),
    "By": ("bytes", 1.0, 0.0),
}


def known(unit: str) -> bool:
    """Whether `unit` is one of ours."""
    return unit in _UNITS


def all_units() -> tuple[str, ...]:
    """Every known unit, in the order of the table."""
    return tuple(_UNITS)


def conversion(source: str, target: str) -> Linear:
    """The linear map from `source` to `target`.

    Raises:
        ValueError: one is unknown, or they measure different things.
    """
    if source == target:
        return Linear()
    try:
        dim_a, scale_a, off_a = _UNITS[source]
        dim_b, scale_b, off_b = _UNITS[target]
    except KeyError as exc:
        raise ValueError(f"unknown unit {exc.args[0]!r}") from None
    if dim_a != dim_b:
        raise ValueError(f"{source} ({dim_a}) does not convert to {target} ({dim_b})")
    if scale_b == 1.0 and off_b == 0.0:
        return Linear(scale_a, off_a)
    return Linear(scale_a / scale_b, (off_a - off_b) / scale_b)
