"""What the data identifiers stand for: DL/T 645-2007, annex A; of 1997 the energies, voltages, currents and powers."""

from __future__ import annotations

import msgspec

_ENERGY = {0: "kWh", 1: "kWh", 2: "kWh", 9: "kVAh", 10: "kVAh"} | dict.fromkeys(
    range(3, 9), "kvarh"
)


class Meaning(msgspec.Struct, frozen=True):
    """How the digits of one value read: `size` bytes, `decimals` digits behind the point, sign in the highest bit."""

    size: int
    decimals: int
    unit: str
    signed: bool = False


_VARIABLES = {
    1: Meaning(2, 1, "V"),
    2: Meaning(3, 3, "A", signed=True),
    3: Meaning(3, 4, "kW", signed=True),
    4: Meaning(3, 4, "kvar", signed=True),
    5: Meaning(3, 4, "kVA", signed=True),
    6: Meaning(2, 3, "", signed=True),
    7: Meaning(2, 1, "deg"),
    8: Meaning(2, 2, "%"),
    9: Meaning(2, 2, "%"),
}
_OTHER = {
    1: Meaning(3, 3, "A"),
    2: Meaning(2, 2, "Hz"),
    3: Meaning(3, 4, "kW"),
    4: Meaning(3, 4, "kW"),
    5: Meaning(3, 4, "kvar"),
    6: Meaning(3, 4, "kVA"),
    7: Meaning(2, 1, "Cel"),
    8: Meaning(2, 2, "V"),
    9: Meaning(2, 2, "V"),
    10: Meaning(4, 0, "min"),
}


def meaning(di: bytes) -> Meaning | None:
    """Of a single value of 2007; `di` as it is written, DI3 first. None for blocks and what is not a number."""
    di3, di2, di1, di0 = di
    if 0xFF in (di2, di1, di0):
        return None
    if di3 == 0:
        return Meaning(4, 2, _ENERGY[di2], signed=di2 == 0) if di2 in _ENERGY else None
    if di3 == 2 and di2 == 0x80 and di1 == 0:
        return _OTHER.get(di0)
    return _VARIABLES.get(di2) if di3 == 2 and di0 == 0 else None


def meaning_1997(di: bytes) -> Meaning | None:
    """The same of 1997 (DI1 first)."""
    di1, di0 = di
    if 0x0F in (di0 & 0x0F, di0 >> 4):
        return None
    if di1 == 0x90:
        return Meaning(4, 2, "kWh")
    if di1 == 0x91:
        return Meaning(4, 2, "kvarh")
    if di1 == 0xB6:
        group = di0 >> 4
        return {1: Meaning(2, 0, "V"), 2: Meaning(2, 2, "A"), 3: Meaning(3, 4, "kW")}.get(group)
    return None


def number(digits: bytes, told: Meaning) -> float | None:
    """The value of BCD digits, high byte first; None when a nibble is no digit."""
    negative = told.signed and bool(digits[0] & 0x80)
    plain = bytes((digits[0] & 0x7F, *digits[1:])) if negative else digits
    text = plain.hex()
    if not text.isdigit():
        return None
    return (-1 if negative else 1) * int(text) / 10.0**told.decimals
