"""Pictures and clips of what was seen, made so that nobody is shown whom the site wants hidden."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from edge.vision.frame import Frame, Picture
from edge.vision.observation import Box, Observation
from edge.vision.opencv import cv2
from edge.vision.whole import frames_in
from tocsin.contract.evidence import MAX_THUMBNAIL_BYTES

FULL_PX, SMALL_PX, CLIP_PX = 1920, 480, 640
_QUALITIES = (85, 70, 50, 30)
_KEPT, _KEPT_EVERY_NS = 24, 1_000_000_000
_CELL_PX = 16  # of what is hidden
_CLIP_FPS = 4.0
_HOT_SPAN_K = 5.0
_MATROSKA = b"\x42\x82\x88matroska"  # the kind of document (RFC 8794, DocType)
_WEBM = b"\x42\x82\x84webm\xec\x82\x00\x00"  # as long, with a Void element


class Privacy(msgspec.Struct, frozen=True):
    """What no picture shows: polygons in shares of the picture from its top left, and boxes of classes that a model finds."""

    polygons: tuple[tuple[tuple[float, float], ...], ...] = ()
    labels: tuple[str, ...] = ()


class Moment(msgspec.Struct, frozen=True):
    """A picture that may be shown, and when it was taken."""

    ts_ns: int
    index: int
    picture: np.ndarray  # (H, W, 3) uint8 BGR, at most `FULL_PX` wide


class Album:
    """The last looks of one camera: about a second apart, `_KEPT` of them. One thread at a time."""

    def __init__(self, privacy: Privacy) -> None:
        self._privacy = privacy
        self._moments: deque[Moment] = deque(maxlen=_KEPT)

    def add(self, frame: Frame, seen: Iterable[Observation]) -> Moment:
        """Take the newest; older ones stay as they were."""
        boxes = [b for o in seen for b in o.boxes if b.label in self._privacy.labels]
        shown = shown_of(frame, self._privacy, boxes)
        moment = Moment(frame.ts_ns, frame.index, shown)
        last = self._moments[-1] if self._moments else None
        if last is None or frame.ts_ns - last.ts_ns >= _KEPT_EVERY_NS or frame.ts_ns < last.ts_ns:
            self._moments.append(moment)
        return moment

    def before(self, index: int) -> Moment | None:
        """The newest before a frame; the oldest there is when all are later."""
        earlier = [m for m in self._moments if m.index < index]
        return earlier[-1] if earlier else None

    def all(self) -> tuple[Moment, ...]:
        """Oldest first."""
        return tuple(self._moments)


def shown_of(frame: Frame, privacy: Privacy, hidden: Sequence[Box] = ()) -> Picture:
    """(H, W, 3) BGR: the picture, or its temperatures from blue to white; what is private is pixelated. Not to be written to: it may be the frame's own."""
    if frame.picture is not None:
        picture = frame.picture
    else:
        assert frame.celsius is not None  # noqa: S101 - a frame has one of both
        picture = _coloured(frame.celsius)
    if not (privacy.polygons or hidden):
        return _at_most(picture, FULL_PX)
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for polygon in privacy.polygons:
        corners = np.array([(x * width, y * height) for x, y in polygon], np.int32)
        cv2.fillPoly(mask, [corners], (1,))
    for box in hidden:
        x, y = max(0, int(box.x)), max(0, int(box.y))
        mask[y : int(box.y + box.height) + 1, x : int(box.x + box.width) + 1] = 1
    if mask.any():
        small = cv2.resize(picture, (max(1, width // _CELL_PX), max(1, height // _CELL_PX)), interpolation=cv2.INTER_AREA)  # fmt: skip
        coarse = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
        picture = picture.copy()
        picture[mask > 0] = coarse[mask > 0]
    return _at_most(picture, FULL_PX)


def jpeg(picture: Picture) -> bytes:
    """The whole, quality 85."""
    return _encoded(picture, _QUALITIES[0])


def thumbnail(picture: Picture, box: Box | None, width: int, height: int) -> bytes:
    """At most 480 px wide and 64 KiB, the box drawn; `box` in px of a picture of `width` x `height`."""
    small = np.array(_at_most(picture, SMALL_PX))
    if box is not None:
        sx, sy = small.shape[1] / width, small.shape[0] / height
        first = (round(box.x * sx), round(box.y * sy))
        last = (round((box.x + box.width) * sx), round((box.y + box.height) * sy))
        cv2.rectangle(small, first, last, (255, 255, 255), 3)
        cv2.rectangle(small, first, last, (0, 0, 230), 1)
    for quality in _QUALITIES:
        data = _encoded(small, quality)
        if len(data) <= MAX_THUMBNAIL_BYTES:
            break
    return data


def clip(moments: Sequence[Moment]) -> bytes:
    """VP8 in a .webm, which every browser plays: at most 640 px wide, four looks a second; b"" where the library cannot.

    Raises:
        OSError: the folder for temporary files cannot take it.
    """
    if len(moments) < 2:
        return b""
    first = _even(_at_most(moments[0].picture, CLIP_PX))
    size = (first.shape[1], first.shape[0])
    with tempfile.TemporaryDirectory(prefix="tocsin-clip-") as folder:
        # A .webm is the same but for its DocType, and OpenCV complains of every one on stderr.
        path = Path(folder) / "clip.mkv"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), _CLIP_FPS, size)
        if not writer.isOpened():
            return b""
        for moment in moments:
            writer.write(cv2.resize(moment.picture, size, interpolation=cv2.INTER_AREA))
        writer.release()
        _check_whole(path, len(moments))
        return path.read_bytes().replace(_MATROSKA, _WEBM, 1)


def _check_whole(path: Path, wanted: int) -> None:
    count = frames_in(path)
    if count < wanted:
        raise OSError(f"{path.parent.parent} took {count} pictures of {wanted}: it may be full")


def _encoded(picture: Picture, quality: int) -> bytes:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def _at_most(picture: Picture, width: int) -> Picture:
    if picture.shape[1] <= width:
        return picture
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _even(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    return picture[: max(2, height - height % 2), : max(2, width - width % 2)]


def _coloured(celsius: np.ndarray) -> Picture:
    """The hottest hundredth is white, however hot: else one fire would leave everything around it black."""
    known = celsius[np.isfinite(celsius)]
    low, high = (float(v) for v in np.percentile(known, (1, 99))) if known.size else (0.0, 1.0)
    span = max(high - low, _HOT_SPAN_K)
    grey = np.clip((np.nan_to_num(celsius, nan=low) - low) / span * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), np.uint8)
