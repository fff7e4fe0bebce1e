"""Bytes of the journalled messages: a fixed 66-byte ASCII header that is readable without the body, then the body.

    TOC1 jn 01ARZ3NDEKTSV4RRFFQ69G5FAV 000000000000002a 0064 1a2b3c4d\\n{...}
    |    |  stream (ULID)              first seq (hex)  |    CRC-32 of header up to here + body
    |    body codec: j JSON / m msgpack, n plain / d deflate (RFC 1951)
    magic and version                                   rows (hex)

`decode_header` never looks at the body, so a poison message can be refused by its sequence numbers.
"""

from __future__ import annotations

import re
import zlib
from typing import Literal, TypeVar, cast

import msgspec

from tocsin.contract.messages import VERSION, Alarm, Batch, Event
from tocsin.errors import WireError, WireReason

Codec = Literal["jn", "jd", "mn", "md"]
CODECS: tuple[Codec, ...] = ("jn", "jd", "mn", "md")
HEADER_BYTES = 66
MAX_MESSAGE_BYTES = 1 << 20
MAX_BODY_BYTES = 8 << 20
MAX_ROWS = 0xFFFF
_MAGIC = b"TOC1 "
_HEADER = re.compile(
    rb"TOC1 (jn|jd|mn|md) ([0-7][0-9A-HJKMNP-TV-Z]{25}) ([0-7][0-9a-f]{15}) ([0-9a-f]{4}) ([0-9a-f]{8})\n"
)

Body = Batch | Alarm | Event
_B = TypeVar("_B", bound=Body)

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()
_decoders: dict[tuple[str, type], msgspec.json.Decoder[Body] | msgspec.msgpack.Decoder[Body]] = {}
for _type in (Batch, Alarm, Event):
    _decoders["j", _type] = msgspec.json.Decoder(_type)
    _decoders["m", _type] = msgspec.msgpack.Decoder(_type)


class Header(msgspec.Struct, frozen=True):
    """What a message says of itself before its body."""

    codec: Codec
    stream: str
    first_seq: int
    rows: int
    crc: int


def encode(body: Body, codec: Codec = "jn") -> bytes:
    """Header and body of one message.

    Raises:
        WireError: larger than `MAX_MESSAGE_BYTES`, more than `MAX_ROWS` rows, or none.
    """
    if isinstance(body, Batch):
        first_seq, rows = body.first_seq, body.rows
    else:
        first_seq, rows = body.seq, 1
    if rows == 0:
        raise WireError(WireReason.BAD_SHAPE, "a batch without rows")
    data = _json.encode(body) if codec[0] == "j" else _msgpack.encode(body)
    if codec[1] == "d":
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        data = deflate.compress(data) + deflate.flush()
    if rows > MAX_ROWS or len(data) + HEADER_BYTES > MAX_MESSAGE_BYTES:
        raise WireError(WireReason.OVERSIZED, f"{rows} rows in {len(data)} bytes")
    head = f"TOC1 {codec} {body.stream} {first_seq:016x} {rows:04x} ".encode()
    crc = zlib.crc32(data, zlib.crc32(head))
    return b"%s%08x\n%s" % (head, crc, data)


def decode_header(data: bytes) -> Header:
    """The header alone; the CRC is not yet checked. Every header has exactly one spelling.

    Raises:
        WireError: not a message of this version.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise WireError(WireReason.OVERSIZED, f"{len(data)} bytes, {MAX_MESSAGE_BYTES} allowed")
    if len(data) < HEADER_BYTES:
        raise WireError(
            WireReason.TRUNCATED, f"{len(data)} bytes, the header alone has {HEADER_BYTES}"
        )
    if data[:3] != b"TOC" or data[4:5] != b" ":
        raise WireError(WireReason.BAD_MAGIC, f"starts with {bytes(data[:5])!r}")
    if data[:5] != _MAGIC:
        raise WireError(
            WireReason.WRONG_VERSION, f"version {bytes(data[3:4])!r}, this is version {VERSION}"
        )
    match = _HEADER.match(data)
    if match is None:
        raise WireError(WireReason.BAD_HEADER, repr(bytes(data[:HEADER_BYTES])))
    codec, stream, first_seq, rows, crc = match.groups()
    header = Header(
        cast(Codec, codec.decode()),
        stream.decode(),
        int(first_seq, 16),
        int(rows, 16),
        int(crc, 16),
    )
    if header.rows == 0 or header.first_seq + header.rows >= 2**63:
        raise WireError(WireReason.BAD_HEADER, f"{header.rows} rows from {header.first_seq}")
    return header


def check_crc(header: Header, data: bytes) -> None:
    """Whether `data` is as it was sealed.

    Raises:
        WireError: corrupt.
    """
    if zlib.crc32(data[HEADER_BYTES:], zlib.crc32(data[: HEADER_BYTES - 9])) != header.crc:
        raise WireError(WireReason.BAD_CRC, "the checksum does not fit")


def decode_body(header: Header, data: bytes, kind: type[_B]) -> _B:
    """The body of `data`, checked against its header.

    Raises:
        WireError: corrupt, of the wrong type, or telling another story than its header.
    """
    check_crc(header, data)
    body = data[HEADER_BYTES:]
    if header.codec[1] == "d":
        body = _inflate(body)
    try:
        decoded = _decoders[header.codec[0], kind].decode(body)
    except msgspec.ValidationError as exc:
        raise WireError(WireReason.WRONG_TYPE, str(exc)) from exc
    except (msgspec.DecodeError, RecursionError, ValueError) as exc:
        # ValueError: text that is not UTF-8, and integers longer than Python converts (4,300 digits)
        raise WireError(WireReason.BAD_BODY, str(exc)) from exc
    assert isinstance(decoded, kind)  # noqa: S101 - the decoder was built for this type
    version, seq, rows = (
        (decoded.version, decoded.first_seq, decoded.rows)
        if isinstance(decoded, Batch)
        else (decoded.v, decoded.seq, 1)
    )
    if version != VERSION:
        raise WireError(WireReason.WRONG_VERSION, f"body version {version}, this is {VERSION}")
    if (decoded.stream, seq, rows) != (header.stream, header.first_seq, header.rows):
        raise WireError(
            WireReason.HEADER_MISMATCH,
            f"header says {header.stream} {header.first_seq}+{header.rows}, body {decoded.stream} {seq}+{rows}",
        )
    return decoded


def _inflate(data: bytes) -> bytes:
    inflate = zlib.decompressobj(-15)
    try:
        out = inflate.decompress(data, MAX_BODY_BYTES)
    except zlib.error as exc:
        raise WireError(WireReason.BAD_DEFLATE, str(exc)) from exc
    if inflate.unconsumed_tail:
        raise WireError(WireReason.OVERSIZED, f"inflates past {MAX_BODY_BYTES} bytes")
    if not inflate.eof:
        raise WireError(WireReason.TRUNCATED, "the deflate stream does not end")
    if inflate.unused_data:
        raise WireError(WireReason.BAD_DEFLATE, f"{len(inflate.unused_data)} bytes after its end")
    return out
