"""Picture files, judged by their first bytes before anything is unpacked."""

from __future__ import annotations

import stat
import struct
from pathlib import Path

import numpy as np

from edge.vision.opencv import cv2
from edge.vision.sources.exif import may_be_turned
from edge.vision.sources.jpeg_mend import lacks_restarts, mend
from edge.vision.sources.jpeg_scan import is_damaged
from edge.vision.sources.source import Raw, Reject, Suspect

MAX_PIXELS = 50_000_000  # 8K has 33 million; unpacked that is 150 MB
MAX_FILE_BYTES = 256 << 20  # so many pixels of 8 bits, not packed, take 200 MB
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"})
JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_NOT_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
_MAY_BE_WHOLE = frozenset({Reject.TRUNCATED, Reject.DAMAGED, Reject.UNREADABLE})
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_FORMS = {3: "H", 4: "I"}  # SHORT and LONG


def read_file(file: Path) -> bytes | Reject:
    """All of a picture file. A pipe is not waited for, nor a device read: `unreadable`."""
    try:
        known = file.stat()
        if not stat.S_ISREG(known.st_mode):
            return Reject.UNREADABLE
        if known.st_size > MAX_FILE_BYTES:
            return Reject.TOO_LARGE
        with file.open("rb") as opened:
            return opened.read(known.st_size)
    except OSError:
        return Reject.UNREADABLE


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Raw | Reject:
    """The picture in a JPEG, PNG, TIFF or BMP file, its depth kept: uint8 BGR or grey, or uint16."""
    size = size_of(data)
    if size is None:
        return Reject.UNREADABLE
    if size[0] * size[1] > max_pixels:
        return Reject.TOO_LARGE
    if not _has_its_end(data):
        return Reject.TRUNCATED
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return Reject.UNREADABLE
    if found is None:
        return Reject.UNREADABLE
    height, width = found.shape[:2]
    if height * width > max_pixels:
        return Reject.TOO_LARGE
    # on its side is as good: some files say that they are to be turned
    return found if sorted((width, height)) == sorted(size) else Reject.UNREADABLE


def decode_file(data: bytes, max_pixels: int = MAX_PIXELS, *, upright: bool = True) -> Raw | Reject:
    """Like `decode`; a JPEG is told whose middle was lost or overwritten, on a disk or in a camera that sent it.

    `upright`: 8-bit pictures are turned as their EXIF data say, and are BGR then.
    """
    found = decode(data, max_pixels)
    if isinstance(found, Reject):
        return found
    if data.startswith(JPEG) and (lacks_restarts(data) or is_damaged(data, found)):
        return Reject.DAMAGED
    return _turned(data, found) if upright else found


def decode_sent(data: bytes, max_pixels: int = MAX_PIXELS) -> Raw | Reject | Suspect:
    """Like `decode_file`, of a camera; a JPEG that is written wrong although its picture is whole comes with what is wrong."""
    found = decode_file(data, max_pixels)
    if not isinstance(found, Reject) or found not in _MAY_BE_WHOLE or not data.startswith(JPEG):
        return found
    mended = mend(data, max_pixels)
    if mended is None:
        return found
    picture = decode(mended.data, max_pixels)
    if isinstance(picture, Reject) or is_damaged(mended.data, picture, exact=True):
        return found
    picture = _turned(mended.data, picture)
    if isinstance(picture, Reject) or mended.damage is None:
        return picture
    return Suspect(picture, mended.damage, found)


def _turned(data: bytes, found: Raw) -> Raw | Reject:
    """An 8-bit picture, as its EXIF data say."""
    if found.dtype != np.uint8 or not may_be_turned(data):
        return found
    turned = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return Reject.UNREADABLE if turned is None else turned


def size_of(data: bytes) -> tuple[int, int] | None:
    """(width, height) as the header says; None: not one of the kinds we read."""
    try:
        if data.startswith(JPEG):
            return _jpeg_size(data)
        if data.startswith(_PNG):
            width, height = struct.unpack_from(">II", data, 16)
        elif data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_size(data)
        elif data.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", data, 18)
            height = abs(height)
        else:
            return None
    except struct.error:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """ITU-T T.81 B.2.2: from marker to marker to the frame header."""
    at = 2
    while True:
        fill, marker, length = struct.unpack_from(">BBH", data, at)
        if fill != 0xFF:
            return None
        if marker == 0xFF:
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return (width, height) if width and height else None
        else:
            at += 2 + length


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """TIFF 6.0 section 2: the first directory. A size that is told twice or in an odd way is none: who unpacks it may read another one."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, at)
    found: dict[int, int] = {}
    for i in range(entries):
        tag, kind, count = struct.unpack_from(f"{order}HHI", data, at + 2 + 12 * i)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            form = _TIFF_FORMS.get(kind)
            if form is None or count != 1 or tag in found:
                return None
            (found[tag],) = struct.unpack_from(f"{order}{form}", data, at + 2 + 12 * i + 8)
    width, height = found.get(_TIFF_WIDTH, 0), found.get(_TIFF_HEIGHT, 0)
    return (width, height) if width and height else None


def _has_its_end(data: bytes) -> bool:
    """A file cut short is unpacked all the same, its rest grey. Some cameras append data of their own."""
    if data.startswith(JPEG):
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")  # after the last scan
    return not data.startswith(_PNG) or b"IEND" in data[-64:]
