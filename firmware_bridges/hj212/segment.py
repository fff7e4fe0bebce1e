"""The data segment of HJ 212-2017, 6.3.3: header fields, then CP=&&parameters&&. Pure."""

from __future__ import annotations

import msgspec

_OPEN, _CLOSE = "CP=&&", "&&"


class Segment(msgspec.Struct, frozen=True):
    """What a segment says, texts as they were sent.

    `head` holds QN, ST, CN, PW, MN, Flag, PNUM, PNO; `fields` the parameters that belong to no factor (DataTime, ...);
    `factors` per pollutant code the parts behind its dash (Rtd, Avg, Flag, ...). Of a name given twice the last counts.
    """

    head: dict[str, str]
    fields: dict[str, str]
    factors: dict[str, dict[str, str]]

    @property
    def flag(self) -> int | None:
        """The Flag field; None when it is absent or no number."""
        told = self.head.get("Flag", "")
        return int(told) if told.isascii() and told.isdigit() and len(told) <= 3 else None


def text_of(segment: bytes) -> str:
    """UTF-8 where it is that, else GB 18030 with replacement."""
    try:
        return segment.decode("utf-8")
    except UnicodeDecodeError:
        return segment.decode("gb18030", "replace")


def parse(segment: bytes) -> Segment:
    """Never fails: what is no `name=value` is passed over."""
    text = text_of(segment)
    before, found, rest = text.partition(_OPEN)
    head = dict(_pairs(before, ";")) if found else dict(_pairs(text, ";"))
    inside = rest[: -len(_CLOSE)] if rest.endswith(_CLOSE) else rest
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
