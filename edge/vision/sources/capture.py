"""cv2.VideoCapture with its habits held in check: time-outs when it is made, one thread, first frame demanded."""

from __future__ import annotations

from edge.vision.opencv import cv2
from edge.vision.sources.picture_file import MAX_PIXELS
from edge.vision.sources.source import Raw, Reject
from tocsin.errors import DriverReason, LinkError


class Capture:
    """One opened stream or file. What has failed once never comes back: open another."""

    def __init__(
        self, what: str, shown: str, *, open_timeout_s: float, read_timeout_s: float
    ) -> None:
        """`shown` stands for `what` in messages.

        Raises:
            LinkError: it does not open, or its pictures are too large.
        """
        self._shown = shown
        options = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(open_timeout_s * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(read_timeout_s * 1000),
            cv2.CAP_PROP_N_THREADS, 1,
        ]  # fmt: skip
        self._capture = cv2.VideoCapture(what, cv2.CAP_FFMPEG, options)
        if not self._capture.isOpened():
            raise LinkError(DriverReason.NO_ANSWER, f"{shown} gives no video")
        width, height = (self._capture.get(p) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))  # fmt: skip
        if not (width > 0 and height > 0):  # opened while nothing came: no picture is ever unpacked
            self.close()
            raise LinkError(DriverReason.NO_ANSWER, f"{shown} gives no video")
        if width * height > MAX_PIXELS:
            self.close()
            raise LinkError(
                DriverReason.BAD_FILE, f"{shown}: pictures of {width:g} x {height:g} are too large"
            )

    @property
    def fps(self) -> float:
        """As the file says; 0 when it does not."""
        found = float(self._capture.get(cv2.CAP_PROP_FPS))
        return found if 0 < found < 1000 else 0.0

    @property
    def frames(self) -> int:
        """How many the file says it has; 0 when it does not."""
        found = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return int(found) if 0 < found < 1e9 else 0

    def grab(self) -> bool:
        """The next frame, not converted; False after its end or a time-out (which takes up to twice the time given)."""
        return bool(self._capture.grab())

    def rewind(self) -> bool:
        """A file from its first frame on."""
        return bool(self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0))

    def retrieve(self) -> Raw | Reject:
        """The grabbed frame."""
        try:
            ok, picture = self._capture.retrieve()
        except cv2.error:
            return Reject.UNREADABLE
        return picture if ok and picture is not None else Reject.UNREADABLE

    def close(self) -> None:
        """Frees it; may be called again."""
        self._capture.release()
