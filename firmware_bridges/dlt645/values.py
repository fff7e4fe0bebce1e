"""Data of DL/T 645 to values and back: BCD, low byte first, and what else an identifier may hold. Pure."""

from __future__ import annotations

from typing import Any

from firmware_bridges.dlt645.identifiers import Meaning, meaning, members
from tocsin.errors import CodecError, CodecReason

_SEPARATOR = 0xAA  # ends a block of 1997


def read(di: bytes, data: bytes) -> dict[str, Any]:
    """What `data` (in the order of the line) says for `di`: value and unit, or the values of a block; {} if that is not known."""
    told = meaning(di)
    if told is not None:
        return _one(data, told) if len(data) == told.size else {}
    found: list[dict[str, Any]] = []
    at = 0
    for one in members(di):
        told = meaning(one)
        if told is None or at + told.size > len(data):
            break
        found.append({"di": one.hex()} | _one(data[at : at + told.size], told))
        at += told.size
    whole = at == len(data) or (len(di) == 2 and data[at:] == bytes((_SEPARATOR,)))
    return {"values": found} if found and whole else {}


def _one(data: bytes, told: Meaning) -> dict[str, Any]:
    digits = data[::-1]
    named = {"name": told.name} if told.name else {}
    match told.form:
        case "number":
            return named | {"value": number(digits, told), "unit": told.unit}
        case "demand":
            value = number(digits[5:], told)
            return named | {"value": value, "unit": told.unit, "at": _at(digits[:5], "20--T:")}
        case "date":
            return named | {"value": _at(digits[:3], "20--"), "weekday": digits[3]}
        case "time":
            return named | {"value": _at(digits, "::")}
        case "moment":
            return named | {"value": _at(digits, "-T:")}
        case "ascii":
            return named | {"value": digits.decode("ascii", "replace").strip("\x00 ")}
        case _:
            return named | {"value": digits.hex()}


def _at(digits: bytes, marks: str) -> str | None:
    """Pairs of digits with `marks` between them, after the century if one stands first; None when a nibble is no digit."""
    text = digits.hex()
    if not text.isdigit():
        return None
    century = "20" if marks.startswith("20") else ""
    between = [*marks.removeprefix("20"), ""]
    pairs = [text[i : i + 2] for i in range(0, len(text), 2)]
    return century + "".join(p + m for p, m in zip(pairs, between, strict=True))


def number(digits: bytes, told: Meaning) -> float | None:
    """The value of BCD digits, high byte first; None when a nibble is no digit."""
    negative = told.signed and bool(digits[0] & 0x80)
    plain = bytes((digits[0] & 0x7F, *digits[1:])) if negative else digits
    text = plain.hex()
    if not text.isdigit():
        return None
    return (-1 if negative else 1) * int(text) / 10.0**told.decimals


def write(value: float, told: Meaning) -> bytes:
    """A number as the line carries it, low byte first.

    Raises:
        CodecError: it is negative without a sign, or has too many digits.
    """
    whole = round(abs(value) * 10**told.decimals)
    text = f"{whole:0{2 * told.size}d}"
    if (
        len(text) > 2 * told.size
        or (told.signed and text[0] > "7")
        or (value < 0 < whole and not told.signed)
    ):
        raise CodecError(CodecReason.BAD_FIELD, f"{value:g} does not fit {told.size} bytes")
    digits = bytearray.fromhex(text)
    if value < 0 < whole:
        digits[0] |= 0x80
    return bytes(digits[::-1])
