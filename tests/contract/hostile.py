"""Bodies that would harm a careless decoder, each under a right header and checksum."""

from __future__ import annotations

import zlib

from tests.contract.examples import STREAM
from tocsin.errors import WireReason


def sealed(
    body: bytes, code: str = "jn", *, rows: int = 6, seq: int = 42, stream: str = STREAM
) -> bytes:
    """A header with a right CRC before any body."""
    head = f"TOC1 {code} {stream} {seq:016x} {rows:04x} ".encode()
    return b"%s%08x\n%s" % (head, zlib.crc32(body, zlib.crc32(head)), body)


def deflated(body: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(body) + deflate.flush()


HOSTILE: dict[str, tuple[bytes, str, WireReason]] = {
    "nested arrays": (b"[" * 100_000, "jn", WireReason.WRONG_TYPE),
    "nested in an unknown field": (b'{"z":' + b"[" * 100_000, "jn", WireReason.BAD_BODY),
    "nested objects": (b'{"z":' * 50_000, "jn", WireReason.BAD_BODY),
    "nested msgpack": (b"\x81\xa1z" + b"\x91" * 100_000, "mn", WireReason.BAD_BODY),
    "integer of 5000 digits": (b'{"v":' + b"9" * 5000 + b"}", "jn", WireReason.WRONG_TYPE),
    "exponent": (b'{"v":1e999999999}', "jn", WireReason.WRONG_TYPE),
    "not finite": (b'{"v":NaN}', "jn", WireReason.BAD_BODY),
    "array of 2^32-1": (b"\xdd\xff\xff\xff\xff", "mn", WireReason.WRONG_TYPE),
    "map of 2^32-1": (b"\xdf\xff\xff\xff\xff", "mn", WireReason.BAD_BODY),
    "text of 2^32-1": (b"\x81\xdb\xff\xff\xff\xff", "mn", WireReason.BAD_BODY),
    "no UTF-8": (b'{"site":"\xff"}', "jn", WireReason.BAD_BODY),
    "type error before garbage": (b"[1, garbage", "jn", WireReason.WRONG_TYPE),
    "nested msgpack arrays": (b"\x91" * 100_000, "mn", WireReason.WRONG_TYPE),
    "empty": (b"", "jn", WireReason.BAD_BODY),
    "no deflate": (b"\xff\xff\xff", "jd", WireReason.BAD_DEFLATE),
    "cut deflate": (deflated(b"{}" * 99)[:-3], "jd", WireReason.TRUNCATED),
    "more after deflate": (deflated(b"{}") + b"x", "jd", WireReason.BAD_DEFLATE),
    "deflate bomb": (deflated(b" " * (1 << 27)), "jd", WireReason.OVERSIZED),
}  # fmt: skip
