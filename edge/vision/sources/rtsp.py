"""A camera over RTSP, in the TCP connection; what FFmpeg decodes: H.264, H.265, MJPEG."""

from __future__ import annotations

from edge.vision.sources.address import Address
from edge.vision.sources.capture import Capture
from edge.vision.sources.rtsp_knock import knock
from edge.vision.sources.source import Raw, Reject
from tocsin.errors import DriverReason, LinkError

KNOCK_S = 1.5
OPEN_S = 3.0
READ_S = 2.0  # OpenCV notices a stall after twice that


class RtspSource:
    """Opened anew after every failure."""

    live = True

    def __init__(self, address: Address) -> None:
        self._address = address
        self._capture: Capture | None = None
        self._first = False

    def open(self) -> None:
        """Returns with the first frame unpacked: a stream that was accepted and gives none is not open.

        Raises:
            LinkError: with the reason.
        """
        self.close()
        knock(self._address, KNOCK_S)
        self._capture = Capture(
            self._address.with_account(),
            str(self._address),
            open_timeout_s=OPEN_S,
            read_timeout_s=READ_S,
        )
        if not self._capture.grab() or isinstance(self._capture.retrieve(), Reject):
            self.close()
            raise LinkError(
                DriverReason.NO_ANSWER,
                f"{self._address} accepts the connection and sends no picture",
                hint="does its stream play, as H.264 or H.265 over TCP, in another program?",
            )
        self._first = True

    def grab(self) -> bool:
        """The next frame.

        Raises:
            LinkError: the stream stands still, or the camera ended it.
        """
        assert self._capture is not None  # noqa: S101 - opened before
        if self._first:
            self._first = False
            return True
        if not self._capture.grab():
            raise LinkError(DriverReason.CLOSED, f"{self._address}: the stream stopped")
        return True

    def retrieve(self) -> Raw | Reject:
        """The frame."""
        assert self._capture is not None  # noqa: S101 - opened before
        return self._capture.retrieve()

    def close(self) -> None:
        """Leaves the camera."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.close()
