"""Whether a JPEG has all of its picture: where bytes of its middle were lost or overwritten, its decoder runs out of them before the end, and fills up with grey."""

from __future__ import annotations

import itertools
import re

import numpy as np

from edge.vision.opencv import cv2
from edge.vision.sources.source import Raw

EOI, SOS, DRI = 0xD9, 0xDA, 0xDD
RESTARTS = range(0xD0, 0xD8)
BETWEEN = frozenset({0xC4, 0xCC, 0xDB, 0xDC, DRI, 0xFE, *range(0xE0, 0xF0)})  # two scans
# of fill bytes the last alone: \xff+ is tried from each of a run, hours in which no other thread runs
MARKER = re.compile(rb"\xff([^\x00\xff])")
_MORE = bytes(range(1, 65))
_UNLIKE = tuple(
    pair * 32 for pair in (b"\xc3\xc3", b"\xa5\x3c", b"\x5a\x69")
)  # one alone may by chance be what a decoder makes of nothing
_GREY = 128  # where nothing was decoded
_STEP_PX = 8
_SIDE_PX, _SCANS = 8, 16  # a progressive colour picture has ten scans, each of all blocks at most
_BLOCK_PX = 32  # the largest that is coded as one: a coder may leave out the last bits of the last


def is_damaged(data: bytes, picture: Raw, *, exact: bool = False) -> bool:
    """Whether a JPEG is not as it was written, of which `picture` was unpacked as it lies.

    Either a marker stands where none may (ITU-T T.81 B.2), or what is grey becomes something else when there is more to decode: what follows
    the last block of a whole picture is never read. `exact`: what is not grey is looked at too, to the last block.
    """
    rows, columns = (-(-side // _SIDE_PX) for side in picture.shape[:2])
    ends = _ends(data, most=_SCANS * rows * columns)
    if ends is None:
        return True
    if not exact and not _has_grey(picture, anywhere=len(ends) > 1):
        return False
    parts = [data[a:b] for a, b in itertools.pairwise([0, *ends, len(data)])]
    for more in _UNLIKE if exact else (_MORE,):
        joined = np.frombuffer(more.join(parts), np.uint8)
        again = cv2.imdecode(joined, cv2.IMREAD_UNCHANGED)
        if again is None or again.shape != picture.shape:
            return True
        if exact:
            if cv2.norm(again, picture, cv2.NORM_INF) > 0:
                return True
            continue
        changed = again != picture
        if changed[:-_BLOCK_PX].any() or changed[:, :-_BLOCK_PX].any():
            return True
    return False


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
        if found and marker != SOS and marker not in BETWEEN:
            break
        body, at = at + 4, at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == DRI:
            restarts = data[body : body + 2] != b"\0\0"
        elif marker == SOS:
            last = _through(data, at, found, restarts, most)
            if last is None:
                return None
            at = last
    return found if data[at : at + 2] == bytes((0xFF, EOI)) else None


def _through(data: bytes, at: int, found: list[int], restarts: bool, most: int) -> int | None:
    """Adds the ends within one scan; where the marker after it stands."""
    for count, match in enumerate(MARKER.finditer(data, at)):
        found.append(at + len(data[at : match.start()].rstrip(b"\xff")))
        at = match.end()
        marker = match[1][0]
        if marker not in RESTARTS:
            return match.end() - 2
        if not restarts or marker != RESTARTS[count % len(RESTARTS)] or len(found) > most:
            return None
    return None
