"""One line of a receiver's output: is it a sentence, is it whole, what does it say (NMEA 0183, 5.3)."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import msgspec
from pynmeagps import NMEAReader
from pynmeagps.exceptions import NMEAMessageError, NMEAParseError, NMEATypeError

MAX_LINE = 1024  # the standard allows 82; proprietary lines and torn joins run longer


class NotASentence(StrEnum):
    """Why a line says nothing about a position. The values name the driver's counters."""

    EMPTY = "empty"
    COMMENT = "comments"
    AIS = "ais"
    PROPRIETARY = "proprietary"
    GARBAGE = "garbage"
    NO_CHECKSUM = "no_checksum"
    BAD_CHECKSUM = "bad_checksum"
    BAD_FIELDS = "bad_fields"


class Whole(msgspec.Struct, frozen=True):
    """A sentence whose checksum is right; not yet decoded."""

    talker: str
    type: str
    text: str


class Sentence:
    """A decoded sentence. A field that is empty, torn or not finite reads as None."""

    __slots__ = ("_message", "fields", "talker", "type")

    def __init__(self, talker: str, kind: str, message: Any) -> None:
        self.talker, self.type, self._message = talker, kind, message
        self.fields: list[str] = list(message.payload)

    def raw(self, name: str) -> object:
        """The decoder's value of a field; None when it is absent or empty."""
        value: object = getattr(self._message, name, None)
        return None if value == "" else value

    def number(self, name: str) -> float | None:
        """A numeric field."""
        value = self.raw(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if math.isfinite(value) else None

    def letter(self, name: str) -> str:
        """The first letter of a text field, in upper case; "" when it is empty."""
        value = self.raw(name)
        return value[:1].upper() if isinstance(value, str) else ""

    def position(self) -> tuple[float, float] | None:
        """Latitude and longitude in degrees, None unless both are whole and on the globe."""
        lat, lon = self.number("lat"), self.number("lon")
        if lat is None or lon is None or abs(lat) > 90.0 or abs(lon) > 180.0:
            return None
        if self.letter("NS") not in ("N", "S") or self.letter("EW") not in ("E", "W"):
            return None
        return lat, lon


def check(line: bytes) -> Whole | NotASentence:
    """Frame and checksum of one line; what stands before the last `$` is the rest of a torn line."""
    stripped = line.strip()
    if not stripped:
        return NotASentence.EMPTY
    if stripped[:1] == b"#":
        return NotASentence.COMMENT
    start = stripped.rfind(b"$")
    if start < 0:
        return NotASentence.AIS if stripped[:1] == b"!" else NotASentence.GARBAGE
    if len(stripped) - start > MAX_LINE:
        return NotASentence.GARBAGE
    body, star, tail = stripped[start + 1 :].partition(b"*")
    if not star:
        return NotASentence.NO_CHECKSUM
    total = 0
    for char in body:
        total ^= char
    if len(tail) != 2 or tail.upper() != b"%02X" % total:
        return NotASentence.BAD_CHECKSUM
    address = body.partition(b",")[0]
    if address[:1] == b"P":
        return NotASentence.PROPRIETARY
    if len(address) < 4 or not body.isascii() or not address.isalnum():
        return NotASentence.GARBAGE
    name = address.decode("ascii")
    return Whole(name[:-3], name[-3:], stripped[start:].decode("ascii"))


def decode(whole: Whole) -> Sentence | NotASentence:
    """The fields of a whole sentence."""
    try:
        message = NMEAReader.parse(whole.text.encode("ascii") + b"\r\n")
    except (NMEAParseError, NMEATypeError, NMEAMessageError):
        return NotASentence.BAD_FIELDS
    if message is None:
        return NotASentence.BAD_FIELDS
    return Sentence(whole.talker, whole.type, message)


def parse(line: bytes) -> Sentence | NotASentence:
    """`check` and `decode` in one."""
    whole = check(line)
    return decode(whole) if isinstance(whole, Whole) else whole
