"""A video file as a camera."""

from __future__ import annotations

from pathlib import Path

from edge.vision.sources.capture import Capture
from edge.vision.sources.pacing import Pacing
from edge.vision.sources.source import Raw, Reject, Wait
from edge.vision.sources.video_file import open_video
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import Clock

_FPS = 25.0  # of a file that does not say


class VideoSource:
    """`paced`: at the file's own rate on the clock (or `fps`), frames nobody looks at are passed over. Else as fast as they are looked at."""

    def __init__(
        self,
        file: Path,
        clock: Clock,
        wait: Wait,
        *,
        paced: bool = True,
        fps: float | None = None,
        repeat: bool = False,
    ) -> None:
        self.live = paced
        self.file = file
        self._clock, self._wait = clock, wait
        self._fps, self._repeat = fps, repeat
        self._capture: Capture | None = None
        self._pacing: Pacing | None = None
        self._frames = 0

    def open(self) -> None:
        """Opens the file at its start.

        Raises:
            LinkError: no such file, or not a video.
        """
        if not self.file.is_file():
            raise LinkError(DriverReason.NO_PORT, f"{self.file}: no such file")
        self.close()
        self._capture = open_video(self.file)
        self._frames = 0
        if self.live:
            self._pacing = Pacing(self.fps, self._clock, self._wait)
            self._pacing.start()

    @property
    def fps(self) -> float:
        """Frames a second of the opened file."""
        return self._fps or (self._capture.fps if self._capture else 0.0) or _FPS

    def __len__(self) -> int:
        return self._capture.frames if self._capture else 0

    def grab(self) -> bool:
        """The next frame, or the newest that is due."""
        assert self._capture is not None  # noqa: S101 - opened before
        due = 1 if self._pacing is None else self._pacing.next()
        return due > 0 and all(self._step(self._capture) for _ in range(due))

    def _step(self, capture: Capture) -> bool:
        if capture.grab():
            self._frames += 1
            return True
        again = self._repeat and self._frames > 0 and capture.rewind() and capture.grab()
        self._frames = int(again)
        return again

    def retrieve(self) -> Raw | Reject:
        """The frame."""
        assert self._capture is not None  # noqa: S101 - opened before
        return self._capture.retrieve()

    def close(self) -> None:
        """Closes the file."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.close()
