"""Whether a JPEG has all of its picture: where bytes of its middle were lost or overwritten, its decoder runs out of them before the end, and fills up with grey."""

from __future__ import annotations

import itertools
import re

import numpy as np

from edge.vision.opencv import cv2
from edge.vision.sources.source import Raw

_EOI, _SOS, _DRI = 0xD9, 0xDA, 0xDD
_RESTARTS = range(0xD0, 0xD8)
_BETWEEN = frozenset({0xC4, 0xCC, 0xDB, 0xDC, _DRI, 0xFE, *range(0xE0, 0xF0)})  # two scans
# of fill bytes the last alone: \xff+ is tried from each of a run, hours in which no other thread runs
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_MORE = bytes(range(1, 65))
_GREY = 128  # where nothing was decoded
_STEP_PX = 8
_SIDE_PX, _SCANS = 8, 16  # a progressive colour picture has ten scans, each of all blocks at most
_BLOCK_PX = 32  # the largest that is coded as one: a coder may leave out the last bits of the last


def is_damaged(data: bytes, picture: Raw) -> bool:
    """Whether a JPEG is not as it was written, of which `picture` was unpacked as it lies.

    Either a marker stands where none may (ITU-T T.81 B.2), or what is grey becomes something else when there is more to decode: what follows
    the last block of a whole picture is never read.
    """
    rows, columns = (-(-side // _SIDE_PX) for side in picture.shape[:2])
    ends = _ends(data, most=_SCANS * rows * columns)
    if ends is None:
        return True
    if not _has_grey(picture, anywhere=len(ends) > 1):
        return False
    parts = [data[a:b] for a, b in itertools.pairwise([0, *ends, len(data)])]
    again = cv2.imdecode(np.frombuffer(_MORE.join(parts), np.uint8), cv2.IMREAD_UNCHANGED)
    if again is None or again.shape != picture.shape:
        return True
    changed = again != picture
    return bool(changed[:-_BLOCK_PX].any() or changed[:, :-_BLOCK_PX].any())


def _has_grey(picture: Raw, *, anywhere: bool) -> bool:
    """At its end, or with restarts or several scans at places in it."""
    if not anywhere:
        return bool((picture[-1, -1] == _GREY).all())
    first, second = (picture[at::_STEP_PX, at::_STEP_PX] == _GREY for at in (2, 5))
    rows, columns = second.shape[:2]
    grey = first[:rows, :columns] & second
    return bool((grey if grey.ndim == 2 else grey.all(axis=2)).any())


def _ends(data: bytes, most: int) -> list[int] | None:
    """Where each stretch of coded blocks ends, at restarts too; None: markers stand where none may, or more than `most`."""
    at, found, restarts = 2, list[int](), False
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if found and marker != _SOS and marker not in _BETWEEN:
            break
        body, at = at + 4, at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _DRI:
            restarts = data[body : body + 2] != b"\0\0"
        elif marker == _SOS:
            last = _through(data, at, found, restarts, most)
            if last is None:
                return None
            at = last
    return found if data[at : at + 2] == bytes((0xFF, _EOI)) else None


def _through(data: bytes, at: int, found: list[int], restarts: bool, most: int) -> int | None:
    """Adds the ends within one scan; where the marker after it stands."""
    for count, match in enumerate(_MARKER.finditer(data, at)):
        found.append(at + len(data[at : match.start()].rstrip(b"\xff")))
        at = match.end()
        marker = match[1][0]
        if marker not in _RESTARTS:
            return match.end() - 2
        if not restarts or marker != _RESTARTS[count % len(_RESTARTS)] or len(found) > most:
            return None
    return None
