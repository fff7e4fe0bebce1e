"""What one MQTT message says of one device at one time, whatever its form. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from tocsin.contract.catalogue import Value
from tocsin.errors import CodecError, CodecReason

MAX_VALUES = 1000
MAX_DEPTH = 16
TimeUnit = Literal["s", "ms", "us", "ns"]
_PER_UNIT: dict[TimeUnit, int] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_RFC3339 = re.compile(r"([^.]+?)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?")
_LAST_NS = 2**63 - 1
_SCALARS = frozenset({bool, int, float, str})


class Report(msgspec.Struct, frozen=True, gc=False):
    """`source` and `aliases` are the sender's names of the device; `time_ns` its own time, None if it told none.

    `units` holds what the sender told of a value's unit, as ours. `key` is an identity that the sender gives the
    report, so that a second delivery is known. `payload` are the bytes of a LoRaWAN sensor, to be read by its model.
    """

    source: str
    values: dict[str, Value]
    time_ns: int | None = None
    units: dict[str, str] = {}
    aliases: tuple[str, ...] = ()
    key: str = ""
    payload: bytes | None = None


def read_json(data: bytes) -> Any:
    """The JSON value.

    Raises:
        CodecError: it is none.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise CodecError(CodecReason.FRAMING, f"not JSON: {exc}") from exc


def read_object(data: bytes) -> dict[str, Any]:
    """The JSON object.

    Raises:
        CodecError: it is none.
    """
    found = read_json(data)
    if not isinstance(found, dict):
        raise CodecError(CodecReason.FRAMING, "not a JSON object")
    return found


def inside(of: Any, *path: str) -> dict[str, Any]:
    """The object at `path`, empty where there is none."""
    for name in path:
        of = of.get(name) if isinstance(of, dict) else None
    return of if isinstance(of, dict) else {}


def flatten(value: Any) -> dict[str, Value]:
    """Leaves by their path: `a.b`, `a.0.b`; a lone value is called `value`. Null is no value.

    Raises:
        CodecError: more than MAX_VALUES, or deeper than MAX_DEPTH.
    """
    found: dict[str, Value] = {}
    if type(value) in _SCALARS:
        found["value"] = value
    else:
        _leaves(found, value, "", 0)
    return found


def _leaves(found: dict[str, Value], value: Any, prefix: str, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise CodecError(CodecReason.OVERSIZED, f"deeper than {MAX_DEPTH}")
    items = value.items() if isinstance(value, dict) else enumerate(value or ())
    for name, item in items:
        if type(item) in _SCALARS:
            found[f"{prefix}{name}"] = item
        elif item:
            _leaves(found, item, f"{prefix}{name}.", depth + 1)
    if len(found) > MAX_VALUES:
        raise CodecError(CodecReason.OVERSIZED, f"more than {MAX_VALUES} values")


def unix_ns(value: object, unit: TimeUnit = "ms") -> int:
    """Nanoseconds since 1970 of a number in `unit` or an RFC 3339 text (without a zone: UTC).

    Raises:
        CodecError: it is neither, or outside the years 1970 to 2262.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        per_unit = _PER_UNIT[unit]
        if 0 <= value <= _LAST_NS / per_unit:
            if isinstance(value, int):
                return value * per_unit
            return round(value * (per_unit / 1000)) * 1000  # a double holds it to a microsecond
    if isinstance(value, str) and (found := _RFC3339.fullmatch(value)):
        try:
            at = datetime.fromisoformat(found[1] + (found[3] or ""))
        except ValueError:
            pass
        else:
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            ns = int(at.timestamp()) * 10**9 + int((found[2] or "")[:9].ljust(9, "0"))
            if 0 <= ns <= _LAST_NS:
                return ns
    raise CodecError(CodecReason.BAD_FIELD, f"not a time: {str(value)[:64]!r}")
