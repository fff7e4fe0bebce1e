"""Opening a video file, and why one gives no video."""

from __future__ import annotations

from pathlib import Path

from edge.vision.sources.capture import Capture
from tocsin.errors import DriverReason, LinkError

_TIMEOUT_S = 10.0
_MOST_BOXES = 10_000


def open_video(file: Path) -> Capture:
    """At its first frame.

    Raises:
        LinkError: it is no video, or an MP4 that was cut before its index.
    """
    try:
        return Capture(str(file), str(file), open_timeout_s=_TIMEOUT_S, read_timeout_s=_TIMEOUT_S)
    except LinkError as exc:
        if not lacks_index(file):
            raise LinkError(DriverReason.BAD_FILE, exc.message, hint=exc.hint) from exc
        raise LinkError(
            DriverReason.BAD_FILE,
            f"{exc.message}: it is an MP4 without its index (moov), which most recorders write at the end",
            hint="it was cut short: copy it again; MKV, TS, AVI and MP4 with the index first (faststart) are read up to where they are cut",
        ) from exc


def lacks_index(file: Path) -> bool:
    """Whether this is an MP4 or MOV (ISO 14496-12: boxes of length and type) that ends before its `moov`."""
    try:
        with file.open("rb") as data:
            at, size = 0, file.stat().st_size
            for count in range(_MOST_BOXES):
                data.seek(at)
                head = data.read(16)
                if len(head) < 8:
                    return count > 0
                length = int.from_bytes(head[:4], "big")
                kind = head[4:8]
                if count == 0 and kind != b"ftyp":
                    return False
                if kind == b"moov":
                    return at + length > size
                if length == 1 and len(head) == 16:
                    length = int.from_bytes(head[8:], "big")
                if length < 8:  # to the end of the file, or no box
                    return length == 0
                at += length
    except OSError:
        pass
    return False
