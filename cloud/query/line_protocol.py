"""InfluxDB line protocol -> points. https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/

Bad lines are returned with their number and a reason; good lines of the same body are kept.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

FieldType = Literal["f", "i", "u", "b", "s"]
FieldValue = float | int | bool | str

_MEASUREMENT = re.compile(r"(?:\\[, ]|[^, \n])+")
_KEY = re.compile(r"(?:\\[,= ]|[^,= \n])+")
_STRING = re.compile(r'"((?:\\.|[^"\\])*)"', re.S)
_BARE = re.compile(r"[^, \n]+")
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_INT = re.compile(r"([+-]?\d+)([iu])")
_TIME = re.compile(r" +(-?\d+) *\r?(?=\n|\Z)")
_END = re.compile(r" *\r?(?=\n|\Z)")
_SKIP = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_ESCAPED = re.compile(r"\\([,= ])")
_ESCAPED_STRING = re.compile(r'\\(["\\])')
_BOOLEANS = dict.fromkeys(("t", "T", "true", "True", "TRUE"), True) | dict.fromkeys(
    ("f", "F", "false", "False", "FALSE"), False
)
_PRECISION_NS = {
    "": 1, "n": 1, "ns": 1, "nanosecond": 1, "u": 1_000, "us": 1_000, "µ": 1_000, "microsecond": 1_000,
    "ms": 10**6, "millisecond": 10**6, "s": 10**9, "second": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
MAX_LINE_ERRORS = 1000


@dataclass(frozen=True, slots=True)
class Point:
    """One line. `time_ns` None: the server's time is meant."""

    line: int
    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: dict[str, tuple[FieldType, FieldValue]]
    time_ns: int | None


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be stored, counted from 1."""

    line: int
    reason: str


def known_precision(precision: str) -> bool:
    """Whether `precision` is one that InfluxDB 1, 2 or 3 takes."""
    return precision == "auto" or precision in _PRECISION_NS


def parse(body: str, precision: str = "ns") -> tuple[list[Point], list[BadLine]]:
    """(points, lines that are none). `precision` as in InfluxDB 1 (n u ms s m h), 2 (ns us ms s) or 3 (also auto)."""
    points: list[Point] = []
    bad: list[BadLine] = []
    at, line, counted_to = 0, 1, 0
    while True:
        skipped = _SKIP.match(body, at)
        at = skipped.end() if skipped else at
        line += body.count("\n", counted_to, at)
        counted_to = at
        if at >= len(body):
            return points, bad
        try:
            point, at = _line(body, at, line, precision)
            points.append(point)
        except ValueError as exc:
            bad.append(BadLine(line, str(exc)))
            end = body.find("\n", at)
            at = len(body) if end < 0 else end


def _line(body: str, at: int, line: int, precision: str) -> tuple[Point, int]:
    found = _MEASUREMENT.match(body, at)
    if not found:
        raise ValueError("missing measurement")
    measurement = re.sub(r"\\([, ])", r"\1", found[0])
    at = found.end()
    tags: dict[str, str] = {}
    while body.startswith(",", at):
        key, at = _key(body, at + 1, "tag")
        value = _KEY.match(body, at)
        if not value:
            raise ValueError(f"missing value of tag '{key}'")
        if key in tags:
            raise ValueError(f"tag '{key}' appears twice")
        tags[key], at = _ESCAPED.sub(r"\1", value[0]), value.end()
    if not body.startswith(" ", at):
        raise ValueError("missing fields")
    while body.startswith(" ", at):
        at += 1
    fields: dict[str, tuple[FieldType, FieldValue]] = {}
    while True:
        key, at = _key(body, at, "field")
        kind, field_value, at = _value(body, at, key)
        fields[key] = (kind, field_value)
        if not body.startswith(",", at):
            break
        at += 1
    time_ns: int | None = None
    stamp = _TIME.match(body, at)
    if stamp:
        time_ns, at = _stamp(int(stamp[1]), precision), stamp.end()
    else:
        end = _END.match(body, at)
        if not end:
            raise ValueError(f"bad timestamp or trailing text near '{body[at : at + 20].strip()}'")
        at = end.end()
    if not -(2**63) < (time_ns or 0) < 2**63:
        raise ValueError("timestamp out of range")
    return Point(line, measurement, tuple(sorted(tags.items())), fields, time_ns), at


def _key(body: str, at: int, what: str) -> tuple[str, int]:
    found = _KEY.match(body, at)
    if not found:
        raise ValueError(f"missing {what} key")
    if not body.startswith("=", found.end()):
        raise ValueError(f"{what} '{found[0][:40]}' has no value")
    return _ESCAPED.sub(r"\1", found[0]), found.end() + 1


def _value(body: str, at: int, key: str) -> tuple[FieldType, FieldValue, int]:
    if body.startswith('"', at):
        text = _STRING.match(body, at)
        if not text:
            raise ValueError(f"unterminated string of field '{key}'")
        return "s", _ESCAPED_STRING.sub(r"\1", text[1]), text.end()
    bare = _BARE.match(body, at)
    word = bare[0].rstrip("\r") if bare else ""
    if not bare or not word:
        raise ValueError(f"missing value of field '{key}'")
    end = at + len(word)
    if word in _BOOLEANS:
        return "b", _BOOLEANS[word], end
    whole = _INT.fullmatch(word)
    if whole:
        number = int(whole[1])
        if whole[2] == "i" and -(2**63) <= number < 2**63:
            return "i", number, end
        if whole[2] == "u" and 0 <= number < 2**64:
            return "u", number, end
        raise ValueError(f"field '{key}' is out of range: {word[:40]}")
    if _FLOAT.fullmatch(word):
        real = float(word)
        if math.isfinite(real):
            return "f", real, end
    raise ValueError(f"invalid value of field '{key}': {word[:40]}")


def _stamp(number: int, precision: str) -> int:
    if precision != "auto":
        return number * _PRECISION_NS[precision]
    size = abs(number)
    if size < 5_000_000_000:
        return number * 10**9
    if size < 5_000_000_000_000:
        return number * 10**6
    if size < 5_000_000_000_000_000:
        return number * 1_000
    return number
