"""What the data identifiers stand for: DL/T 645-2007, annex A (energy, demand, variables, parameters), and DL/T 645-1997.

Tables only: a group is found by its upper bytes, its members by the lower ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Meaning(msgspec.Struct, frozen=True):
    """How one value reads: `size` bytes; `decimals` digits behind the point; a sign in the highest bit if `signed`.

    `form`: number; demand (a number, then YYMMDDhhmm); date (YYMMDDWW), time (hhmmss), moment (MMDDhhmm); digits; ascii; word.
    """

    size: int
    decimals: int = 0
    unit: str = ""
    signed: bool = False
    form: str = "number"
    name: str = ""


_KINDS = {
    0x00: ("active_combined", "kWh"),
    0x01: ("active_forward", "kWh"),
    0x02: ("active_reverse", "kWh"),
    0x03: ("reactive_combined_1", "kvarh"),
    0x04: ("reactive_combined_2", "kvarh"),
    0x05: ("reactive_quadrant_1", "kvarh"),
    0x06: ("reactive_quadrant_2", "kvarh"),
    0x07: ("reactive_quadrant_3", "kvarh"),
    0x08: ("reactive_quadrant_4", "kvarh"),
    0x09: ("apparent_forward", "kVAh"),
    0x0A: ("apparent_reverse", "kVAh"),
    0x80: ("active_associated", "kWh"),
    0x81: ("active_forward_fundamental", "kWh"),
    0x82: ("active_reverse_fundamental", "kWh"),
    0x83: ("active_forward_harmonic", "kWh"),
    0x84: ("active_reverse_harmonic", "kWh"),
    0x85: ("copper_loss", "kWh"),
    0x86: ("iron_loss", "kWh"),
}
_COMBINED = (0x00, 0x03, 0x04)  # these alone can be negative
_PHASE_STEP = 0x14  # the same kinds of phase A, B, C stand so much further up
_PHASES = ("", "_a", "_b", "_c")

# DI2 of the variables (02 DI2 DI1 00): DI1 is 0 in total, 1 to 3 the phases.
_VARIABLES = {
    0x01: Meaning(2, 1, "V", name="voltage"),
    0x02: Meaning(3, 3, "A", signed=True, name="current"),
    0x03: Meaning(3, 4, "kW", signed=True, name="power"),
    0x04: Meaning(3, 4, "kvar", signed=True, name="reactive_power"),
    0x05: Meaning(3, 4, "kVA", signed=True, name="apparent_power"),
    0x06: Meaning(2, 3, "", signed=True, name="power_factor"),
    0x07: Meaning(2, 1, "deg", name="phase_angle"),
    0x08: Meaning(2, 2, "%", name="voltage_distortion"),
    0x09: Meaning(2, 2, "%", name="current_distortion"),
}
_WITH_TOTAL = (0x03, 0x04, 0x05, 0x06)
_HARMONICS = {0x0A: "voltage_harmonic", 0x0B: "current_harmonic"}
_MAX_HARMONIC = 0x15
_OTHER = {
    0x01: Meaning(3, 3, "A", name="current_neutral"),
    0x02: Meaning(2, 2, "Hz", name="frequency"),
    0x03: Meaning(3, 4, "kW", signed=True, name="power_mean_1min"),
    0x04: Meaning(3, 4, "kW", signed=True, name="demand_active"),
    0x05: Meaning(3, 4, "kvar", signed=True, name="demand_reactive"),
    0x06: Meaning(3, 4, "kVA", signed=True, name="demand_apparent"),
    0x07: Meaning(2, 1, "Cel", signed=True, name="temperature"),
    0x08: Meaning(2, 2, "V", name="clock_battery"),
    0x09: Meaning(2, 2, "V", name="reading_battery"),
    0x0A: Meaning(4, 0, "min", name="battery_time"),
}
_PARAMETERS = {
    0x000101: Meaning(4, form="date", name="date"),
    0x000102: Meaning(3, form="time", name="time"),
    0x000103: Meaning(1, 0, "min", name="demand_period"),
    0x000104: Meaning(1, 0, "min", name="demand_slip"),
    0x000204: Meaning(1, 0, "", name="tariffs"),
    0x000306: Meaning(3, 0, "", name="current_ratio"),
    0x000307: Meaning(3, 0, "", name="voltage_ratio"),
    0x000401: Meaning(6, form="digits", name="address"),
    0x000402: Meaning(6, form="digits", name="meter_number"),
    0x000403: Meaning(32, form="ascii", name="asset_number"),
    0x000404: Meaning(6, form="ascii", name="rated_voltage"),
    0x000405: Meaning(6, form="ascii", name="rated_current"),
    0x000406: Meaning(6, form="ascii", name="max_current"),
    0x000407: Meaning(4, form="ascii", name="class_active"),
    0x000408: Meaning(4, form="ascii", name="class_reactive"),
    0x000409: Meaning(3, 0, "imp/kWh", name="constant_active"),
    0x00040A: Meaning(3, 0, "imp/kvarh", name="constant_reactive"),
    0x00040B: Meaning(10, form="ascii", name="model"),
    0x00040C: Meaning(10, form="ascii", name="made_on"),
    0x00040D: Meaning(16, form="ascii", name="protocol_version"),
    0x00040E: Meaning(6, form="digits", name="customer_number"),
    **{0x000500 + n: Meaning(2, form="word", name=f"status_word_{n}") for n in range(1, 8)},
}

# DI1 DI0 of 1997: by DI1 the energies and demands, by both the rest.
_ENERGY_1997 = {0x90: "kWh", 0x94: "kWh", 0x98: "kWh", 0x91: "kvarh", 0x95: "kvarh", 0x99: "kvarh"}
_DEMAND_1997 = {0xA0: "kW", 0xA4: "kW", 0xA8: "kW", 0xA1: "kvar", 0xA5: "kvar", 0xA9: "kvar"}
_DEMAND_TIME_1997 = (0xB0, 0xB1, 0xB4, 0xB5, 0xB8, 0xB9)
_VARIABLES_1997 = {
    0x1: Meaning(2, 0, "V", name="voltage"),
    0x2: Meaning(2, 2, "A", name="current"),
    0x3: Meaning(3, 4, "kW", name="power"),
    0x4: Meaning(2, 2, "kvar", name="reactive_power"),
    0x5: Meaning(2, 3, "", name="power_factor"),
}
_WITH_TOTAL_1997 = (0x3, 0x4, 0x5)
_OTHER_1997 = {
    0xB634: Meaning(2, 2, "kW", name="power_limit_high"),
    0xB635: Meaning(2, 2, "kW", name="power_limit_low"),
    0xC010: Meaning(4, form="date", name="date"),
    0xC011: Meaning(3, form="time", name="time"),
    0xC030: Meaning(3, 0, "imp/kWh", name="constant_active"),
    0xC031: Meaning(3, 0, "imp/kvarh", name="constant_reactive"),
    0xC032: Meaning(6, form="digits", name="meter_number"),
    0xC033: Meaning(6, form="digits", name="customer_number"),
    0xC034: Meaning(6, form="digits", name="device_number"),
}


def meaning(di: bytes) -> Meaning | None:
    """Of one value; `di` as it is written, DI3 (2007, four bytes) or DI1 (1997, two bytes) first. None for blocks and the unknown."""
    return _of_1997(*di) if len(di) == 2 else _of_2007(*di)


def members(di: bytes) -> Iterator[bytes]:
    """The identifiers of a block in the order of its data; none if `di` is no block that is known.

    How many of them a meter has is told by the length of its data.
    """
    if len(di) == 2:
        yield from _members_1997(*di)
        return
    di3, di2, di1, di0 = di
    if (di1 == 0xFF) == (di0 == 0xFF) or di2 == 0xFF:
        return
    if di3 == 0x02 and di2 in _HARMONICS:
        found = range(1, _MAX_HARMONIC + 1) if di0 == 0xFF else range(1, 4)
    elif di3 == 0x02:
        found = range(0 if di2 in _WITH_TOTAL else 1, 4)
    elif di3 in (0x00, 0x01):
        found = range(64) if di1 == 0xFF else range(13)
    else:
        return
    for n in found:
        one = bytes((di3, di2, n, di0)) if di1 == 0xFF else bytes((di3, di2, di1, n))
        if meaning(one) is not None:
            yield one


def _of_2007(di3: int, di2: int, di1: int, di0: int) -> Meaning | None:
    if di3 in (0x00, 0x01):
        return _energy(di3, di2) if di1 < 0x40 and di0 <= 0x0C else None
    if di3 == 0x02:
        return _variable(di2, di1, di0)
    return _PARAMETERS.get(di2 << 16 | di1 << 8 | di0) if di3 == 0x04 else None


def _energy(di3: int, di2: int) -> Meaning | None:
    high, low = di2 & 0x80, di2 & 0x7F
    phase, kind = divmod(low, _PHASE_STEP)
    found = _KINDS.get(high | kind)
    if found is None or phase > 3:
        return None
    name, unit, signed = found[0] + _PHASES[phase], found[1], kind in _COMBINED and not high
    if di3 == 0x00:
        return Meaning(4, 2, unit, signed, name=f"energy_{name}")
    return Meaning(8, 4, unit.removesuffix("h"), signed, form="demand", name=f"max_demand_{name}")


def _variable(di2: int, di1: int, di0: int) -> Meaning | None:
    if di2 == 0x80:
        return _OTHER.get(di0) if di1 == 0 else None
    if di2 in _HARMONICS:
        inside = 1 <= di1 <= 3 and 1 <= di0 <= _MAX_HARMONIC
        return Meaning(2, 2, "%", name=f"{_HARMONICS[di2]}{_PHASES[di1]}") if inside else None
    found = _VARIABLES.get(di2)
    if found is None or di0 or di1 > 3 or (di1 == 0 and di2 not in _WITH_TOTAL):
        return None
    return msgspec.structs.replace(found, name=found.name + _PHASES[di1])


def _of_1997(di1: int, di0: int) -> Meaning | None:
    group, member = di0 >> 4, di0 & 0x0F
    if (other := _OTHER_1997.get(di1 << 8 | di0)) is not None:
        return other
    if di1 == 0xB6:
        found = _VARIABLES_1997.get(group)
        if found is None or member > 3 or (member == 0 and group not in _WITH_TOTAL_1997):
            return None
        return msgspec.structs.replace(found, name=found.name + _PHASES[member])
    if not 1 <= group <= 6 or member == 0x0F:
        return None
    if di1 in _ENERGY_1997:
        return Meaning(4, 2, _ENERGY_1997[di1], name="energy")
    if di1 in _DEMAND_1997:
        return Meaning(3, 4, _DEMAND_1997[di1], name="max_demand")
    return Meaning(4, form="moment", name="max_demand_at") if di1 in _DEMAND_TIME_1997 else None


def _members_1997(di1: int, di0: int) -> Iterator[bytes]:
    if di0 & 0x0F == 0x0F and di0 != 0xFF:
        for member in range(0x0F):
            one = bytes((di1, di0 & 0xF0 | member))
            if meaning(one) is not None and not (di1 == 0xB6 and member > 3):
                yield one
