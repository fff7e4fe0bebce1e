"""Whether a picture file says that it lies on its side or upside down (EXIF, tag 0x0112). Most cameras that write EXIF data say that it does not."""

from __future__ import annotations

import struct

_MARKS = b"Exif\0\0", b"eXIf"  # in a JPEG, in a PNG
_ORIENTATION, _UPRIGHT = 0x0112, 1
_ORDERS = {b"II": "<", b"MM": ">"}


def may_be_turned(data: bytes) -> bool:
    """False where it is plain that nothing is to be turned; in doubt its decoder is to read it."""
    starts = [at + len(mark) for mark in _MARKS if (at := data.find(mark)) >= 0]
    return any(_orientation(data, start) != _UPRIGHT for start in starts)


def _orientation(data: bytes, start: int) -> int | None:
    """TIFF 6.0 section 2, from `start` on; None: it cannot be told."""
    order = _ORDERS.get(data[start : start + 2])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(f"{order}I", data, start + 4)
        (entries,) = struct.unpack_from(f"{order}H", data, start + at)
        for i in range(entries):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", data, start + at + 2 + 12 * i)
            if tag == _ORIENTATION:
                return int(value)
    except struct.error:
        return None
    return _UPRIGHT
