"""One NMEA 0183 sentence as plain values, with the field names of pynmeagps: the door of `tocsin decode nmea`."""

from __future__ import annotations

import math
from typing import Any

from pynmeagps import NMEAReader
from pynmeagps.exceptions import NMEAMessageError, NMEAParseError, NMEATypeError

from firmware_bridges.nmea.sentence import MAX_LINE
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk.codec import FrameInput


def describe(given: FrameInput) -> dict[str, Any]:
    """Talker, type and fields. A sentence whose layout is not known has its `fields` as texts.

    A TAG block before it (NMEA 0183-4.10, 7) is told as `tag`, its parameters by their letters.

    Raises:
        CodecError: no sentence, a wrong checksum, a field that is torn, or a position that is not on the globe.
    """
    line = given.data.strip()
    if len(line) > MAX_LINE:
        raise CodecError(CodecReason.OVERSIZED, f"a sentence has at most {MAX_LINE} bytes")
    start, tag = 0, b""
    if line[:1] == b"\\":
        start = line.find(b"\\", 1) + 1
        if not start:
            raise CodecError(CodecReason.FRAMING, "the TAG block has no end", offset=len(line))
        tag = _summed(line, 1, start - 1)
    if line[start : start + 1] not in (b"$", b"!"):
        raise CodecError(CodecReason.FRAMING, "a sentence begins with $ or !", offset=start)
    body = _summed(line, start + 1, len(line))
    if not body.isascii() or not body.partition(b",")[0].isalnum():
        raise CodecError(
            CodecReason.BAD_FIELD, "the address is not of letters and digits", offset=start + 1
        )
    found = _fields(line[start:], body.decode("ascii"))
    if tag:
        pairs = (part.partition(":") for part in tag.decode("ascii", "replace").split(","))
        found["tag"] = {name: value for name, _, value in pairs}
    return found


def _summed(line: bytes, start: int, end: int) -> bytes:
    """What stands between `start` and the checksum that ends at `end`."""
    body, star, told = line[start:end].partition(b"*")
    if not star:
        raise CodecError(CodecReason.FRAMING, "no *hh at the end", offset=end)
    counted = 0
    for char in body:
        counted ^= char
    if told.upper() != b"%02X" % counted:
        text = f"checksum is {told[:8].decode('ascii', 'replace')}, counted {counted:02X}"
        raise CodecError(CodecReason.CHECKSUM, text, offset=start + len(body) + 1)
    return body


def _fields(line: bytes, body: str) -> dict[str, Any]:
    address, *fields = body.split(",")
    proprietary = address[:1] == "P"
    talker, kind = ("P", address[1:]) if proprietary else (address[:-3], address[-3:])
    if line[:1] == b"!":
        return {"talker": talker, "type": kind, "fields": fields}
    try:
        message = NMEAReader.parse(line + b"\r\n")
    except NMEAMessageError:
        return {"talker": talker, "type": kind, "fields": fields}
    except (NMEAParseError, NMEATypeError, ValueError, IndexError, KeyError, TypeError) as exc:
        raise CodecError(CodecReason.BAD_FIELD, f"{kind}: {exc}") from exc
    if message is None:
        return {"talker": talker, "type": kind, "fields": fields}
    named = {k: _plain(v) for k, v in vars(message).items() if not k.startswith("_")}
    for name, most in (("lat", 90.0), ("lon", 180.0)):
        value = named.get(name)
        if isinstance(value, float) and abs(value) > most:
            raise CodecError(CodecReason.BAD_FIELD, f"{kind}: {name} is {value:g} degrees")
    return {"talker": message.talker, "type": message.msgID, **named}


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int) else str(value)
