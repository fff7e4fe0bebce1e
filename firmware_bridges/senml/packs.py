"""A SenML pack as bytes: a JSON array (RFC 8428, 5) or a CBOR array with its short labels (6). Pure."""

from __future__ import annotations

import io
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec

from tocsin.errors import CodecError, CodecReason

MAX_RECORDS = 10_000
LABELS = {
    "bver": -1,
    "bn": -2,
    "bt": -3,
    "bu": -4,
    "bv": -5,
    "bs": -6,
    "n": 0,
    "u": 1,
    "v": 2,
    "vs": 3,
    "vb": 4,
    "s": 5,
    "t": 6,
    "ut": 7,
    "vd": 8,
}
_NAMES = {number: name for name, number in LABELS.items()}

Pack = list[dict[str, Any]]
"""Records as they were sent, labels spelled as in JSON; `vd` is bytes."""


def read_pack(data: bytes) -> Pack:
    """The records of a pack; JSON if it begins with `[`, else CBOR.

    Raises:
        CodecError: neither, or no array of maps.
    """
    found = _json(data) if data.lstrip()[:1] == b"[" else _cbor(data)
    if not isinstance(found, list):
        raise CodecError(CodecReason.FRAMING, "a pack is an array of records")
    if len(found) > MAX_RECORDS:
        text = f"{len(found)} records, at most {MAX_RECORDS}"
        raise CodecError(CodecReason.OVERSIZED, text)
    return [_record(item, i) for i, item in enumerate(found)]


def write_json(pack: Pack) -> bytes:
    """The pack as JSON."""
    return msgspec.json.encode([_with_text(record) for record in pack])


def write_cbor(pack: Pack) -> bytes:
    """The pack as CBOR."""
    import cbor2

    return cbor2.dumps([{LABELS.get(k, k): v for k, v in record.items()} for record in pack])


def _json(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise CodecError(CodecReason.FRAMING, f"not JSON: {exc}") from exc


def _cbor(data: bytes) -> object:
    import cbor2

    stream = io.BytesIO(data)
    try:
        found: object = cbor2.CBORDecoder(stream, max_depth=8).decode()
    except (cbor2.CBORDecodeError, RecursionError, ValueError, TypeError, OverflowError) as exc:
        raise CodecError(CodecReason.FRAMING, f"neither a JSON array nor CBOR: {exc}") from exc
    if (rest := len(data) - stream.tell()) > 0:
        text = f"{rest} bytes behind the pack"
        raise CodecError(CodecReason.LENGTH, text, offset=stream.tell())
    return found


def _record(item: object, index: int) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise CodecError(CodecReason.FRAMING, f"record {index} is not a map")
    named = {_NAMES.get(k, k) if isinstance(k, int) else k: v for k, v in item.items()}
    told = named.get("vd")
    if isinstance(told, str):
        named["vd"] = _from_base64(told, index)
    return {str(k): v for k, v in named.items()}


def _from_base64(text: str, index: int) -> bytes:
    try:
        return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError as exc:
        raise CodecError(CodecReason.BAD_FIELD, f"record {index}: vd is not base64url") from exc


def _with_text(record: dict[str, Any]) -> dict[str, Any]:
    told = record.get("vd")
    if not isinstance(told, bytes):
        return record
    return record | {"vd": urlsafe_b64encode(told).rstrip(b"=").decode("ascii")}
