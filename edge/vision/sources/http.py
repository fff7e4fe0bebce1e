"""A camera's web server: one JPEG for each question, or a stream of them, whichever it answers with."""

from __future__ import annotations

import http.client
import ssl

from edge.vision.sources.address import Address
from edge.vision.sources.http_get import HttpGet
from edge.vision.sources.multipart import MAX_PART_BYTES, BadPartError, boundary_of, next_part
from edge.vision.sources.pacing import Pacing
from edge.vision.sources.picture_file import JPEG, decode_sent
from edge.vision.sources.source import Raw, Reject, Suspect, Wait
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import Clock

TIMEOUT_S = 4.0
_SNAPSHOT_S = 20.0  # one over a slow mobile line
_CUT = (http.client.IncompleteRead, ConnectionError, ssl.SSLEOFError)


class HttpSource:
    """`fps` is how often a camera that gives single pictures is asked."""

    live = True

    def __init__(self, address: Address, clock: Clock, wait: Wait, *, fps: float = 1.0) -> None:
        self._address, self._clock = address, clock
        self._pacing = Pacing(fps, clock, wait)
        self._get = HttpGet(address, TIMEOUT_S)
        self._stream: http.client.HTTPResponse | None = None
        self._boundary: bytes | None = None
        self._data = b""
        self._is_cut = False
        self._first = False

    def open(self) -> None:
        """Asks for the first picture, which may be cut short.

        Raises:
            LinkError: with the reason.
        """
        self._ask()
        self._pacing.start()
        self._pacing.next()
        self._first = True

    def _ask(self) -> None:
        self.close()
        with self._get.within(_SNAPSHOT_S):
            answer = self._get.get()
        kind = answer.headers.get("Content-Type", "")
        self._boundary = boundary_of(kind)
        if self._boundary is not None:
            self._stream = answer
            if not self._take_part(answer, self._boundary):
                text = f"{self._address} ended the stream before its first picture was whole"
                raise LinkError(DriverReason.CLOSED, text)
        elif kind.lower().startswith(("image/", "application/octet-stream")):
            with self._get.within(_SNAPSHOT_S):
                self._take_picture(answer)
        else:
            self.close()
            raise LinkError(
                DriverReason.GARBAGE, f"{self._address} gives {kind or 'no type'}, not pictures",
                hint="a URL that gives image/jpeg or multipart/x-mixed-replace",
            )  # fmt: skip

    def grab(self) -> bool:
        """The next picture's bytes; they are unpacked only when somebody wants them.

        Raises:
            LinkError: the camera does not answer. A stream that it ended is asked for anew, `fps` times a second at most.
        """
        if self._first:
            self._first = False
        elif self._stream is not None and self._boundary is not None:
            if not self._take_part(self._stream, self._boundary):
                if self._pacing.next() == 0:
                    return False
                self._ask()
        else:
            if self._pacing.next() == 0:
                return False
            with self._get.within(_SNAPSHOT_S):
                self._take_picture(self._get.get())
        return True

    def retrieve(self) -> Raw | Reject | Suspect:
        """Unpacks it; 8-bit pictures are turned as their EXIF data say."""
        if not self._is_cut:
            return decode_sent(self._data)
        # some cameras tell a length that is too great: theirs are whole
        found = decode_sent(self._data) if self._data.startswith(JPEG) else Reject.TRUNCATED
        return Reject.TRUNCATED if isinstance(found, Reject | Suspect) else found

    def close(self) -> None:
        """Ends the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._get.close()

    def _take_part(self, stream: http.client.HTTPResponse, boundary: bytes) -> bool:
        """False: the stream ended, maybe in the middle of a picture."""
        late_ns = self._clock.mono_ns() + int(TIMEOUT_S * 1e9)

        def check() -> None:
            if self._clock.mono_ns() > late_ns:
                raise TimeoutError  # it drips

        try:
            part = next_part(stream, boundary, check)
        except BadPartError as exc:
            raise LinkError(DriverReason.GARBAGE, f"{self._address}: {exc}") from exc
        except _CUT:
            part = None
        except (OSError, http.client.HTTPException) as exc:
            raise self._get.failed(exc) from exc
        self._data, self._is_cut = part or b"", part is None
        return part is not None

    def _take_picture(self, answer: http.client.HTTPResponse) -> None:
        self._is_cut = True
        try:
            data = answer.read(MAX_PART_BYTES + 1)
        except _CUT as exc:
            self._get.close()  # whether the camera is gone, the next question tells
            self._data = exc.partial if isinstance(exc, http.client.IncompleteRead) else b""
            return
        except (OSError, http.client.HTTPException) as exc:
            self._get.close()
            raise self._get.failed(exc) from exc
        if len(data) > MAX_PART_BYTES:
            self._get.close()
            raise LinkError(
                DriverReason.GARBAGE, f"{self._address}: over {MAX_PART_BYTES >> 20} MiB"
            )
        self._data, self._is_cut = data, bool(answer.length)
        if self._is_cut:
            self._get.close()
