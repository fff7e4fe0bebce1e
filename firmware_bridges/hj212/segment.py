"""The data segment of HJ 212-2017, 6.3.3: header fields, then CP=&&parameters&&. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

_OPEN, _CLOSE = "CP=&&", "&&"
_NAME = re.compile(rb"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)?=")


class Segment(msgspec.Struct, frozen=True):
    """What a segment says, texts as they were sent.

    `head` holds QN, ST, CN, PW, MN, Flag, PNUM, PNO; `fields` the parameters that belong to no factor (DataTime, ...);
    `factors` per pollutant code the parts behind its dash (Rtd, Avg, Flag, ...). Of a name given twice the last counts.
    """

    head: dict[str, str]
    fields: dict[str, str]
    factors: dict[str, dict[str, str]]

    @property
    def qn(self) -> str:
        """Which request this belongs to. The 2005 edition names it among the parameters."""
        return self.head.get("QN") or self.fields.get("QN", "")

    @property
    def part(self) -> tuple[int, int] | None:
        """Number and count of the part, of a segment of several."""
        told = self.head.get("PNO", ""), self.head.get("PNUM", "")
        if not all(t.isascii() and t.isdigit() and len(t) <= 4 for t in told):
            return None
        number, count = map(int, told)
        return (number, count) if count > 1 else None

    @property
    def flag(self) -> int | None:
        """The Flag field; None when it is absent or no number."""
        told = self.head.get("Flag", "")
        return int(told) if told.isascii() and told.isdigit() and len(told) <= 3 else None


def text_of(segment: bytes) -> str:
    """UTF-8 where it is that, else GB 18030 with replacement.

    Chinese in GB 18030 may happen to be UTF-8 of two bytes a character (Greek to Arabic), which no station writes.
    """
    try:
        text = segment.decode("utf-8")
    except UnicodeDecodeError:
        return segment.decode("gb18030", "replace")
    return (
        segment.decode("gb18030", "replace") if any("\x80" <= c <= "\u07ff" for c in text) else text
    )


def parse(segment: bytes) -> Segment:
    """Never fails: what is no `name=value` is passed over."""
    text = text_of(segment)
    before, found, rest = text.partition(_OPEN)
    head = dict(_pairs(before, ";")) if found else dict(_pairs(text, ";"))
    inside = rest.rpartition(_CLOSE)[0] if _CLOSE in rest else rest
    fields: dict[str, str] = {}
    factors: dict[str, dict[str, str]] = {}
    for group in inside.split(";"):
        for name, value in _pairs(group, ","):
            code, dash, part = name.partition("-")
            if dash and code and part:
                factors.setdefault(code, {})[part] = value
            else:
                fields[name] = value
    return Segment(head, fields, factors)


def _pairs(text: str, between: str) -> list[tuple[str, str]]:
    found = []
    for item in text.split(between):
        name, equals, value = item.partition("=")
        if equals and name.strip():
            found.append((name.strip(), value))
    return found


def segment(head: Mapping[str, str | int], parameters: str = "") -> bytes:
    """The bytes of a segment: what is empty in `head` is left out."""
    told = ";".join(f"{k}={v}" for k, v in head.items() if v != "")
    return f"{told};{_OPEN}{parameters}{_CLOSE}".encode("gb18030")


def parameters_of(segment: bytes) -> bytes:
    """What stands between the two &&."""
    inside = segment.partition(_OPEN.encode())[2]
    return inside.rpartition(_CLOSE.encode())[0] if _CLOSE.encode() in inside else inside


def joined(parts: Sequence[bytes]) -> bytes:
    """Parameters that came in parts: cut anywhere, or between two of them with the separator left out."""
    whole = b""
    for part in parts:
        last = re.split(rb"[;,]", whole)[-1]
        whole += (b";" if b"=" in last and _NAME.match(part) else b"") + part
    return whole
