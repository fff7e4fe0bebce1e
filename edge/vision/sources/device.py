"""A camera of this machine (V4L2), by its path: colour, or 16-bit thermal counts (Y16)."""

from __future__ import annotations

from pathlib import Path

from edge.vision.opencv import cv2
from edge.vision.sources.source import Raw, Reject
from edge.vision.sources.v4l2 import look_at
from tocsin.errors import DriverReason, LinkError


class DeviceSource:
    """Best a path that stays, of /dev/v4l/by-path. `counts`: ask for Y16 and give it unconverted."""

    live = True

    def __init__(self, path: Path, *, counts: bool = False, size: tuple[int, int] | None = None, fps: float | None = None) -> None:  # fmt: skip
        self._path, self._counts, self._size, self._fps = path, counts, size, fps
        self._capture: cv2.VideoCapture | None = None
        self._first = False

    def open(self) -> None:
        """Returns with the first frame grabbed.

        Raises:
            LinkError: with the reason.
        """
        self.close()
        look_at(self._path, "Y16 " if self._counts else "")
        options = [cv2.CAP_PROP_CONVERT_RGB, 0] if self._counts else []
        if self._counts:
            options += [cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"Y16 ")]
        if self._size is not None:
            options += [cv2.CAP_PROP_FRAME_WIDTH, self._size[0], cv2.CAP_PROP_FRAME_HEIGHT, self._size[1]]  # fmt: skip
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_V4L2, options)
        if not self._capture.isOpened():
            self.close()
            text = f"{self._path} is no camera that gives {'Y16' if self._counts else 'pictures'}"
            raise LinkError(
                DriverReason.REFUSED, text, hint=f"v4l2-ctl -d {self._path} --list-formats-ext"
            )
        if self._fps is not None:
            self._capture.set(cv2.CAP_PROP_FPS, self._fps)
        if not self._capture.grab():
            self.close()
            raise LinkError(DriverReason.NO_ANSWER, f"{self._path} opens and gives no picture")
        self._first = True

    def grab(self) -> bool:
        """The next frame.

        Raises:
            LinkError: the camera stands still or was unplugged.
        """
        assert self._capture is not None  # noqa: S101 - opened before
        if self._first:
            self._first = False
            return True
        if not self._capture.grab():
            raise LinkError(DriverReason.CLOSED, f"{self._path}: no more pictures")
        return True

    def retrieve(self) -> Raw | Reject:
        """The frame."""
        assert self._capture is not None  # noqa: S101 - opened before
        try:
            ok, picture = self._capture.retrieve()
        except cv2.error:
            return Reject.UNREADABLE
        return picture if ok and picture is not None else Reject.UNREADABLE

    def close(self) -> None:
        """Lets the device go."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()
