"""SenML's unit names (IANA registry, RFC 8428 and RFC 8798) and ours (UCUM codes). Pure."""

from __future__ import annotations

from tocsin.contract.units import Linear, conversion

# SenML name -> our unit, the same number. Secondary units of RFC 8798 are among them.
_OURS = {
    "/": "1",
    "count": "1",
    "pH": "1",
    "%": "%",
    "%RH": "%",
    "ppm": "[ppm]",
    "Cel": "Cel",
    "K": "K",
    "m": "m",
    "km": "km",
    "cm": "cm",
    "mm": "mm",
    "mm/h": "mm/h",
    "m/s": "m/s",
    "km/h": "km/h",
    "deg": "deg",
    "lat": "deg",
    "lon": "deg",
    "rad": "rad",
    "m3": "m3",
    "l": "L",
    "m3/s": "m3/s",
    "l/s": "L/s",
    "Pa": "Pa",
    "hPa": "hPa",
    "V": "V",
    "mV": "mV",
    "A": "A",
    "mA": "mA",
    "W": "W",
    "kW": "kW",
    "Wh": "W.h",
    "kWh": "kW.h",
    "Hz": "Hz",
    "s": "s",
    "ms": "ms",
    "min": "min",
    "h": "h",
    "dBm": "{dBm}",
    "NTU": "{NTU}",
    "ug/m3": "ug/m3",
    "B": "By",
}
_SENML = {ours: name for name, ours in reversed(_OURS.items())} | {"%{vol}": "%", "%{LEL}": "%"}
_CONVERTED = {  # ours -> (SenML name, its unit among ours)
    "kPa": ("Pa", "Pa"),
    "MPa": ("Pa", "Pa"),
    "bar": ("Pa", "Pa"),
    "mbar": ("hPa", "hPa"),
    "[ppb]": ("ppm", "[ppm]"),
    "mg/m3": ("ug/m3", "ug/m3"),
    "g/m3": ("ug/m3", "ug/m3"),
    "mg/L": ("ug/m3", "ug/m3"),
    "[kn_i]": ("m/s", "m/s"),
}


def from_senml(name: str) -> str | None:
    """Our unit of a SenML unit; None if we have none."""
    return _OURS.get(name)


def to_senml(unit: str) -> tuple[str | None, Linear]:
    """SenML's name for our unit and the way to its numbers; None where the registry has no name."""
    if unit in _CONVERTED:
        name, ours = _CONVERTED[unit]
        return name, conversion(unit, ours)
    if unit in ("uS/cm", "mS/cm"):
        return "S/m", Linear(1e-4 if unit == "uS/cm" else 0.1)
    return _SENML.get(unit), Linear()
