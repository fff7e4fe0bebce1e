"""GET from a camera's web server, with its account, and failures named."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from edge.vision.sources.address import Address
from edge.vision.sources.http_auth import authorization
from tocsin.errors import DriverReason, LinkError


class HttpGet:
    """One connection, opened when needed. HTTPS certificates of cameras are not checked."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address, self._timeout_s = address, timeout_s
        parts = urlsplit(address.url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._line: http.client.HTTPConnection | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._under: socket.socket | None = (
            None  # the line's, which it forgets where the connection ends with the answer
        )
        self._challenges: list[str] = []
        self._answered = 0  # times, of these challenges
        self._aborted = False

    def get(self) -> http.client.HTTPResponse:
        """The answer, its status 200; the body is not read yet.

        Raises:
            LinkError: with the reason.
        """
        self._aborted = False
        try:
            answer = self._answer = self._ask()
            if answer.status == 401 and self._address.username:
                answer.read(65_536)
                self._challenges = answer.headers.get_all("WWW-Authenticate", [])
                self._answered = 0
                answer = self._answer = self._ask()
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise self.failed(exc) from exc
        if answer.status != 200:
            self.close()
            raise self._refused(answer)
        return answer

    def _ask(self) -> http.client.HTTPResponse:
        address = self._address
        if self._answer is not None and not self._answer.isclosed():
            self.close()  # the rest of its body would be taken for the next answer
        headers = {"User-Agent": "tocsin"}
        if self._challenges:
            self._answered += 1
            headers["Authorization"] = authorization(
                self._challenges, "GET", self._path, address.username, address.password,
                self._answered,
            )  # fmt: skip
        fresh = self._line is None
        if self._line is None:
            self._line = self._connection()
        try:
            return self._answer_of(self._line, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if fresh or self._aborted:
                raise
            self.close()  # a kept connection that the camera ended meanwhile
            self._line = self._connection()
            return self._answer_of(self._line, headers)

    def _answer_of(
        self, line: http.client.HTTPConnection, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        line.request("GET", self._path, headers=headers)
        self._under = line.sock
        return line.getresponse()

    def _connection(self) -> http.client.HTTPConnection:
        address = self._address
        if address.scheme != "https":
            return http.client.HTTPConnection(address.host, address.port, timeout=self._timeout_s)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(
            address.host, address.port, timeout=self._timeout_s, context=context
        )

    @contextmanager
    def within(self, most_s: float) -> Iterator[None]:
        """What is still under way then is ended, also that of a camera whose answer drips.

        Raises:
            LinkError: it was.
        """
        late = threading.Event()

        def end() -> None:
            late.set()
            self.abort()

        timer = threading.Timer(most_s, end)
        timer.daemon = True
        timer.start()
        cause: LinkError | None = None
        try:
            yield
        except LinkError as exc:
            if not late.is_set():
                raise
            cause = exc
        finally:
            timer.cancel()
        if late.is_set():
            text = f"{self._address} does not answer within {most_s:g} s"
            raise LinkError(DriverReason.NO_ANSWER, text) from cause

    def failed(self, exc: Exception) -> LinkError:
        """What went wrong on the way."""
        address = self._address
        match exc:
            case TimeoutError():
                text = f"{address} does not answer within {self._timeout_s:g} s"
                return LinkError(DriverReason.NO_ANSWER, text)
            case ConnectionRefusedError():
                return LinkError(
                    DriverReason.REFUSED,
                    f"{address}: connection refused",
                    hint="is the port right?",
                )
            case socket.gaierror():
                return LinkError(
                    DriverReason.NO_PORT, f"{address}: {exc.strerror}", hint="is the name right?"
                )
            case http.client.RemoteDisconnected() | http.client.IncompleteRead():
                return LinkError(
                    DriverReason.CLOSED,
                    f"{address} ended the connection before its answer was whole",
                )
            case http.client.BadStatusLine():
                return LinkError(
                    DriverReason.GARBAGE,
                    f"{address} does not speak HTTP",
                    hint="is the port right?",
                )
            case http.client.HTTPException():
                return LinkError(
                    DriverReason.GARBAGE,
                    f"{address} answers what is not HTTP",
                    hint="new firmware for the camera, or read it by RTSP",
                )
            case _:
                return LinkError(DriverReason.CLOSED, f"{address}: {exc or type(exc).__name__}")

    def _refused(self, answer: http.client.HTTPResponse) -> LinkError:
        address, status = self._address, answer.status
        if status in (401, 403):
            asked = "it wants a username and password"
            if address.username:
                asked = (
                    "its password is wrong"
                    if status == 401
                    else "its account may not, or it does not offer that"
                )
            text = f"{address} refuses us ({status})"
            return LinkError(DriverReason.PERMISSION, text, hint=asked)
        if status in (301, 302, 303, 307, 308):
            where = Address(answer.headers.get("Location", "nowhere"))
            text = f"{address} sends us elsewhere ({status})"
            return LinkError(DriverReason.BAD_FILE, text, hint=f"configure {where}")
        if status == 404:
            return LinkError(DriverReason.BAD_FILE, f"{address}: not there (404)", hint="the path of the URL")  # fmt: skip
        return LinkError(DriverReason.EXCEPTION_CODE, f"{address} answers {status}")

    def abort(self) -> None:
        """From another thread: what is under way fails at once."""
        self._aborted = True
        line, under = self._line, self._under
        if under is None and line is not None:
            under = line.sock
        if under is not None:
            with suppress(OSError):
                socket.socket.shutdown(under, socket.SHUT_RDWR)  # TLS takes no part

    def close(self) -> None:
        """Ends the connection."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()
        self._under = None
        line, self._line = self._line, None
        if line is not None:
            line.close()
