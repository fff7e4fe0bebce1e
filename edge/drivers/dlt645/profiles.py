"""Which identifiers a meter is asked for: by edition, quantity to data identifier, for the usual kinds of meter."""

from __future__ import annotations

_ALL = {"energy": "00010000", "energy_reverse": "00020000"}
_SUMS = {"power": "02030000", "power_factor": "02060000", "frequency": "02800002"}
_PHASES = {
    f"{quantity}_{phase}": f"02{di2}0{n}00"
    for quantity, di2 in (("voltage", "01"), ("current", "02"), ("power", "03"))
    for n, phase in ((1, "a"), (2, "b"), (3, "c"))
}

PROFILES: dict[str, dict[str, str]] = {
    "single-phase": {**_ALL, "voltage": "02010100", "current": "02020100", **_SUMS},
    "three-phase": {**_ALL, **_PHASES, **_SUMS},
    "single-phase-1997": {
        "energy": "9010",
        "energy_reverse": "9020",
        "voltage": "b611",
        "current": "b621",
        "power": "b630",
    },
    "three-phase-1997": {
        "energy": "9010",
        "energy_reverse": "9020",
        **{
            f"{quantity}_{phase}": f"b6{group}{n}"
            for quantity, group in (("voltage", 1), ("current", 2), ("power", 3))
            for n, phase in ((1, "a"), (2, "b"), (3, "c"))
        },
        "power": "b630",
        "power_factor": "b650",
    },
}

# Units of the standard as the catalogue writes them (UCUM where it has them).
UNITS = {
    "kWh": "kW.h",
    "kvarh": "kvar.h",
    "kVAh": "kV.A.h",
    "kVA": "kV.A",
    "": "1",
}
