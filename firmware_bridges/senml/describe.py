"""One pack as plain values: the door of `tocsin decode senml`."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

from firmware_bridges.senml.packs import read_pack
from firmware_bridges.senml.records import Record, Value, resolve
from tocsin.sdk.codec import FrameInput


def describe(given: FrameInput) -> dict[str, Any]:
    """The resolved records under RFC 8428's own labels; a time below 2^28 is left relative to the receipt.

    Raises:
        CodecError: the pack is refused.
    """
    return {"records": [_plain(r) for r in resolve(read_pack(given.data))]}


def _plain(record: Record) -> dict[str, Any]:
    told: dict[str, Any] = {
        "n": record.name,
        "u": record.unit,
        "t": record.time_s,
        **_labelled(record.value),
        "s": record.sum,
        "ut": record.update_s,
    }
    return {k: v for k, v in told.items() if v is not None}


def _labelled(value: Value) -> dict[str, Any]:
    match value:
        case bool():
            return {"vb": value}
        case str():
            return {"vs": value}
        case bytes():
            return {"vd": urlsafe_b64encode(value).rstrip(b"=").decode("ascii")}
        case _:
            return {"v": value}
