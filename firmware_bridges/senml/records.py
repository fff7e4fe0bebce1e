"""Resolving a pack (RFC 8428, 4.6): every record by itself, without base fields. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from firmware_bridges.senml.packs import LABELS, Pack
from tocsin.errors import CodecError, CodecReason

VERSION = 10
RELATIVE_BELOW_S = float(2**28)
"""A time below this is relative to the receipt, in seconds (4.5.3)."""

Value = float | str | bool | bytes | None
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")
_VALUES = ("v", "vs", "vb", "vd")
_BASES = ("bn", "bt", "bu", "bv", "bs", "bver")


class Record(msgspec.Struct, frozen=True):
    """One resolved record. `time_s` is Unix time, or relative to the receipt if `relative`; None: at the receipt."""

    name: str
    value: Value
    unit: str | None = None
    time_s: float | None = None
    sum: float | None = None
    update_s: float | None = None

    @property
    def relative(self) -> bool:
        """Whether `time_s` counts from the receipt."""
        return self.time_s is None or self.time_s < RELATIVE_BELOW_S

    def at_s(self, now_s: float) -> float:
        """Unix time, with the receipt at `now_s`."""
        if self.time_s is None:
            return now_s
        return now_s + self.time_s if self.relative else self.time_s


def resolve(pack: Pack) -> list[Record]:
    """The records in their order; one that holds base fields alone gives none.

    Raises:
        CodecError: a version or a must-understand label that is not ours, a name, time or value that is none.
    """
    found: list[Record] = []
    base: dict[str, Any] = {}
    for index, sent in enumerate(pack):
        _check_labels(sent, index)
        base |= {k: sent[k] for k in _BASES if k in sent}
        if (version := _number(base, "bver", index)) is not None and version > VERSION:
            text = f"record {index}: version {version:g}, we speak {VERSION}"
            raise CodecError(CodecReason.UNSUPPORTED, text)
        record = _resolved(sent, base, index)
        if record is not None:
            found.append(record)
    return found


def to_pack(records: Iterable[Record]) -> Pack:
    """Records as a pack: the name that all share as base name, the first time as base time."""
    told = list(records)
    prefix = _shared_prefix([r.name for r in told])
    began_s = next((r.time_s for r in told if r.time_s is not None and not r.relative), None)
    pack = [_to_record(r, prefix, began_s) for r in told]
    if pack:
        bases = {"bn": prefix or None, "bt": began_s}
        pack[0] = {k: v for k, v in bases.items() if v is not None} | pack[0]
    return pack


def _to_record(record: Record, prefix: str, began_s: float | None) -> dict[str, Any]:
    time_s = record.time_s
    if time_s is not None and began_s is not None:
        time_s = round(time_s - began_s, 9) or None
    told: dict[str, Any] = {
        "n": record.name[len(prefix) :] or None,
        "u": record.unit,
        "t": time_s,
        _label(record.value): record.value,
        "s": record.sum,
        "ut": record.update_s,
    }
    return {k: v for k, v in told.items() if v is not None}


def _label(value: Value) -> str:
    match value:
        case bool():
            return "vb"
        case str():
            return "vs"
        case bytes():
            return "vd"
        case _:
            return "v"


def _shared_prefix(names: list[str]) -> str:
    if not names:
        return ""
    low, high = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    end = max((low.rfind(mark, 0, same) for mark in ":/"), default=-1)
    return low[: end + 1]


def _check_labels(sent: dict[str, Any], index: int) -> None:
    for label in sent:
        if label not in LABELS and label.endswith("_"):
            text = f"record {index}: {label[:64]!r} must be understood and is not"
            raise CodecError(CodecReason.UNSUPPORTED, text)


def _resolved(sent: dict[str, Any], base: dict[str, Any], index: int) -> Record | None:
    given = [label for label in _VALUES if label in sent]
    if len(given) > 1:
        raise CodecError(CodecReason.BAD_FIELD, f"record {index}: {' and '.join(given)}")
    if not given and not {"n", "s", "t", "u", "ut"} & sent.keys():
        return None  # base fields for the records behind it
    value = _value(sent, base, given[0] if given else None, index)
    total = _added(sent, base, "s", "bs", index)
    if value is None and total is None:
        raise CodecError(CodecReason.BAD_FIELD, f"record {index} has neither a value nor a sum")
    return Record(
        name=_name(sent, base, index),
        value=value,
        unit=_text(sent, "u", index) if "u" in sent else _text(base, "bu", index),
        time_s=_added(sent, base, "t", "bt", index),
        sum=total,
        update_s=_number(sent, "ut", index),
    )


def _value(sent: dict[str, Any], base: dict[str, Any], label: str | None, index: int) -> Value:
    wanted: dict[str, type] = {"vs": str, "vb": bool, "vd": bytes}
    if label is None or label == "v":
        return _added(sent, base, "v", "bv", index)
    value: Value = sent[label]
    if not isinstance(value, wanted[label]):
        text = f"record {index}: {label} is a {type(value).__name__}"
        raise CodecError(CodecReason.BAD_FIELD, text)
    return value


def _added(
    sent: dict[str, Any], base: dict[str, Any], label: str, base_label: str, index: int
) -> float | None:
    own, before = _number(sent, label, index), _number(base, base_label, index)
    if own is None or before is None:
        return own if before is None else before
    total = own + before
    if not math.isfinite(total):
        raise CodecError(CodecReason.BAD_FIELD, f"record {index}: {label} is beyond all numbers")
    return total


def _number(of: dict[str, Any], label: str, index: int) -> float | None:
    if label not in of:
        return None
    value = of[label]
    if isinstance(value, Decimal) and value.is_finite():
        value = float(value)  # a decimal fraction of CBOR (6)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
        raise CodecError(CodecReason.BAD_FIELD, f"record {index}: {label} is not a number")
    return value


def _text(of: dict[str, Any], label: str, index: int) -> str | None:
    value = of.get(label)
    if value is None and label not in of:
        return None
    if not isinstance(value, str) or len(value) > 64:
        raise CodecError(CodecReason.BAD_FIELD, f"record {index}: {label} is not a short text")
    return value


def _name(sent: dict[str, Any], base: dict[str, Any], index: int) -> str:
    parts = [of.get(label, "") for of, label in ((base, "bn"), (sent, "n"))]
    name = "".join(part for part in parts if isinstance(part, str))
    if not all(isinstance(part, str) for part in parts) or not _NAME.fullmatch(name):
        text = f"record {index}: {name[:64]!r} is not a name (4.5.1)"
        raise CodecError(CodecReason.BAD_FIELD, text)
    return name
