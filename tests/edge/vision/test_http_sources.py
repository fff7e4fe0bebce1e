"""Snapshots and MJPEG streams over HTTP, snapshots over ONVIF, and devices that are none."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.vision.pipeline.camera import Camera
from edge.vision.sources import http
from edge.vision.sources.multipart import BadPartError, boundary_of, next_part
from edge.vision.sources.options import SourceOptions, opener
from edge.vision.sources.source import Reject, Source, Suspect
from tests.edge.vision.cameras import EVERY, watched
from tests.edge.vision.scenes import number_of, numbered, oriented
from tests.edge.vision.test_damaged import damaged
from tocsin.errors import DriverReason, LinkError, TocsinError
from tocsin.sdk import SystemClock
from tocsin.testing import free_port, run_process, wait_until

USER, PASSWORD = "operator", "s3cret"


def jpeg(number: int) -> bytes:
    return cv2.imencode(".jpg", numbered(number))[1].tobytes()


def holed(number: int) -> bytes:
    """Of the even ones bytes in the middle got lost before they were sent."""
    return jpeg(number) if number % 2 else damaged(jpeg(number), "lost", 500)


def lying(number: int) -> bytes:
    """As a camera on its side gives it: EXIF data say how it is to be turned."""
    on_its_side = np.ascontiguousarray(np.rot90(numbered(number)))
    return oriented(cv2.imencode(".jpg", on_its_side)[1].tobytes(), 6)


_PICTURES = {"holed": holed, "lying": lying}


_over = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    given = 0
    asked_without_account = 0
    answered = 0  # times, of its one nonce: the count must grow

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/snapshot"):
            if path == "/snapshot-digest" and not self._proven():
                type(self).asked_without_account += 1
                return self._answer(401, b"", 'WWW-Authenticate: Digest realm="cam", nonce="77", qop="auth", algorithm=SHA-256')  # fmt: skip
            type(self).given += 1
            return self._answer(200, self._picture(self.given), "Content-Type: image/jpeg")
        if path.startswith("/mjpeg"):
            return self._push(with_length=path != "/mjpeg-bare", until=7 if path == "/mjpeg-ends" else None)  # fmt: skip
        if path in ("/stands", "/drips"):
            return self._push_one(drips=path == "/drips")
        if path.startswith("/dripping"):
            return self._drip(ends=path == "/dripping-then-ends")
        if path == "/moved":
            return self._answer(
                302, b"", "Location: http://operator:s3cret@10.0.0.9/x?token=s3cret"
            )
        if path == "/page":
            return self._answer(200, b"<html>", "Content-Type: text/html")
        if path == "/cut":
            return self._answer(200, jpeg(1)[:900], "Content-Type: image/jpeg")
        return self._answer(404, b"")

    def _picture(self, number: int) -> bytes:
        return _PICTURES.get(self.path.rpartition("?")[2], jpeg)(number % 256)

    def _proven(self) -> bool:
        told = dict(re.findall(r'(\w+)="?([^",]*)"?', self.headers.get("Authorization", "")))

        def digest(*parts: str) -> str:
            return hashlib.sha256(":".join(parts).encode()).hexdigest()

        wanted = digest(
            digest(USER, "cam", PASSWORD), "77", told.get("nc", ""), told.get("cnonce", ""), "auth", digest("GET", self.path),
        )  # fmt: skip
        count = int(told.get("nc") or "0", 16)
        if told.get("response") != wanted or count <= self.answered:
            return False
        type(self).answered = count
        return True

    def _answer(self, code: int, body: bytes, *headers: str) -> None:
        self.send_response(code)
        for header in headers:
            self.send_header(*header.split(": ", 1))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _push(self, with_length: bool, until: int | None) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", 'multipart/x-mixed-replace; boundary="--frame"')
        self.end_headers()
        number = 0
        try:
            while number != until:
                body = self._picture(number)
                length = f"Content-Length: {len(body)}\r\n" if with_length else ""
                self.wfile.write(f"--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + body + b"\r\n")  # fmt: skip
                number += 1
        except OSError:
            return

    def _push_one(self, drips: bool) -> None:
        """A whole picture, then the head of one, and nothing more or very little."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        head = b"--frame\r\nContent-Length: %d\r\n\r\n"
        body = jpeg(1)
        try:
            self.wfile.write(head % len(body) + body + b"\r\n" + head % len(body))
            while not self.rfile.closed and not _over.wait(0.02):
                self.wfile.write(b"x" if drips else b"")
        except OSError:
            return

    def _drip(self, ends: bool) -> None:
        """A snapshot, a byte at a time; `ends`: it says that the connection ends with it."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", "100000")
        if ends:
            self.send_header("Connection", "close")
        self.end_headers()
        with suppress(OSError):
            while not self.rfile.closed and not _over.wait(0.02):
                self.wfile.write(b"x")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def web() -> Iterator[str]:
    with _serving(0) as address:
        yield address


@contextmanager
def _serving(port: int) -> Iterator[str]:
    _Handler.given = _Handler.asked_without_account = _Handler.answered = 0
    with ThreadingHTTPServer(("127.0.0.1", port), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        _over.clear()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        _over.set()
        server.shutdown()
        thread.join()


def _source(source: str, **options: object) -> Source:
    given = SourceOptions.model_validate({"source": source, **options})
    return opener(given, SystemClock())(threading.Event().wait)


def _first_numbers(source: Source, count: int) -> list[int]:
    source.open()
    found = []
    for _ in range(count):
        assert source.grab()
        raw = source.retrieve()
        assert not isinstance(raw, Reject | Suspect)
        found.append(number_of(raw))
    source.close()
    return found


def _refusal(source: str, **options: object) -> LinkError:
    with pytest.raises(LinkError) as caught:
        _source(source, **options).open()
    return caught.value


def test_snapshots_come_one_for_each_question_with_the_account_proven(web: str) -> None:
    account = {"username": USER, "password": PASSWORD, "fps": 100.0}
    assert _first_numbers(_source(f"{web}/snapshot", fps=100.0), 3) == [1, 2, 3]
    assert _first_numbers(_source(f"{web}/snapshot-digest?channel=1", **account), 3) == [4, 5, 6]
    assert _Handler.asked_without_account == 1


@pytest.mark.parametrize("path", ["/mjpeg", "/mjpeg-bare"])
def test_a_stream_of_jpegs_gives_each_with_and_without_their_lengths(web: str, path: str) -> None:
    assert _first_numbers(_source(web + path), 20) == list(range(20))


@pytest.mark.parametrize("path", ["/snapshot?holed", "/mjpeg?holed"])
async def test_pictures_that_lost_bytes_in_their_middle_are_counted_and_the_others_are_looked_at(web: str, path: str) -> None:  # fmt: skip
    given = SourceOptions(source=web + path, fps=50.0)
    async with watched([Camera("cam", opener(given, SystemClock()), EVERY)]) as seen:
        await wait_until(lambda: len(seen.results["cam"]) >= 5 and seen.health("cam").rejected.get("damaged", 0) >= 5)  # fmt: skip
        assert all(number % 2 for number in seen.numbers("cam"))
        assert set(seen.health("cam").rejected) == {"damaged"}


@pytest.mark.parametrize("path", ["/snapshot?lying", "/mjpeg?lying"])
def test_pictures_of_a_camera_are_turned_as_their_exif_data_say(web: str, path: str) -> None:
    first, *others = _first_numbers(_source(web + path, fps=100.0), 3)
    assert others == [first + 1, first + 2]
    assert first <= 1


def test_a_stream_that_ends_is_asked_for_anew(web: str) -> None:
    assert _first_numbers(_source(f"{web}/mjpeg-ends", fps=50.0), 20) == [
        *range(7),
        *range(7),
        *range(6),
    ]


async def test_a_camera_that_stays_away_for_another_reason_tells_that_one() -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/snapshot-digest"
    given = SourceOptions.model_validate({"source": address, "username": USER, "password": "wrong"})
    camera = Camera("cam", opener(given, SystemClock()), EVERY)
    async with watched([camera]) as seen:
        await wait_until(lambda: len(seen.changes) == 1 and seen.health("cam").error)
        with _serving(port):
            await wait_until(lambda: len(seen.changes) == 2)
        assert [_reason(c.error) for c in seen.changes] == [DriverReason.REFUSED, DriverReason.PERMISSION]  # fmt: skip


def _reason(error: TocsinError | None) -> DriverReason:
    assert isinstance(error, LinkError)
    return error.reason


@pytest.mark.parametrize("path", ["/stands", "/drips"])
def test_a_stream_that_stands_still_or_drips_is_noticed(web: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(http, "TIMEOUT_S", 0.3)
    source = _source(web + path)
    source.open()
    assert source.grab()
    with pytest.raises(LinkError) as caught:
        source.grab()
    assert caught.value.reason is DriverReason.NO_ANSWER
    source.close()


@pytest.mark.parametrize("path", ["/dripping", "/dripping-then-ends"])
def test_a_snapshot_that_drips_is_given_up(web: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(http, "_SNAPSHOT_S", 0.3)
    source = _source(web + path)
    with pytest.raises(LinkError, match=r"does not answer within 0\.3 s") as caught:
        source.open()
    assert caught.value.reason is DriverReason.NO_ANSWER
    source.close()


def test_what_a_web_server_answers_instead_is_said_without_secrets(web: str) -> None:
    assert _refusal(f"{web}/snapshot-digest").hint == "it wants a username and password"
    wrong = _refusal(f"{web}/snapshot-digest", username=USER, password="s3cret-wrong")
    assert (wrong.reason, wrong.hint) == (DriverReason.PERMISSION, "its password is wrong")
    moved = _refusal(f"{web}/moved?token=s3cret")
    assert "10.0.0.9/x" in moved.hint
    page = _refusal(f"{web}/page")
    assert (page.reason, "text/html" in page.message) == (DriverReason.GARBAGE, True)
    assert _refusal(f"{web}/nothing").reason is DriverReason.BAD_FILE
    assert _refusal(f"http://127.0.0.1:{free_port()}/").reason is DriverReason.REFUSED
    assert all("s3cret" not in f"{e} {e.hint}" for e in (wrong, moved))
    cut = _source(f"{web}/cut")
    cut.open()
    assert cut.grab()
    assert cut.retrieve() is Reject.TRUNCATED
    cut.close()


def test_a_camera_is_asked_over_onvif_where_its_snapshots_are(tmp_path: Path) -> None:
    file = tmp_path / "now.jpg"
    file.write_bytes(jpeg(42))
    argv = [sys.executable, "-m", "firmware_bridges.onvif.device", "--snapshot", str(file)]
    with run_process(argv) as process:
        port = json.loads(process.wait_line("ready"))["port"]
        account = {"username": "tocsin", "password": "camera", "fps": 50.0}
        assert _first_numbers(_source(f"onvif://{port}", **account), 2) == [42, 42]
        file.write_bytes(lying(43))
        assert _first_numbers(_source(f"onvif://{port}", **account), 1) == [43]
        file.write_bytes(holed(44))
        source = _source(f"onvif://{port}", **account)
        source.open()
        assert source.grab()
        assert source.retrieve() is Reject.DAMAGED
        source.close()
        wrong = _refusal(f"onvif://{port}", username="tocsin", password="wrong")
        assert wrong.reason is DriverReason.PERMISSION
    assert _refusal(f"onvif://127.0.0.1:{free_port()}").reason is DriverReason.REFUSED


def test_a_device_that_is_not_there_or_none_is_said() -> None:
    missing = _refusal("/dev/video-that-is-not-there")
    assert (missing.reason, missing.hint) == (DriverReason.NO_PORT, "is the camera plugged in?")
    other = _refusal("/dev/null", kelvin_per_count=0.01)
    assert other.reason is DriverReason.REFUSED
    assert other.message.startswith("/dev/null is no camera (")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"source": "rtsp://operator:s3cret@camera/live"}, "no account in the address"),
        ({"source": "ftp://camera/live"}, "one of rtsp://"),
        ({"source": "rtsp:///live"}, "an address with a host"),
        ({"source": "rtsp://camera/live", "username": "a"}, "go together"),
        ({"source": "/dev/video0", "width": 640}, "go together"),
    ],
)
def test_mistakes_in_the_configuration_of_a_source_are_said(given: dict[str, object], said: str) -> None:  # fmt: skip
    with pytest.raises(ValidationError, match=said):
        SourceOptions.model_validate(given)


def test_the_boundary_of_a_type_is_read_as_cameras_write_it() -> None:
    assert boundary_of("multipart/x-mixed-replace; boundary=frame") == b"--frame"
    assert boundary_of('multipart/x-mixed-replace;boundary="--frame"') == b"--frame"
    assert boundary_of("image/jpeg") is None


@given(st.binary(max_size=400), st.booleans())
def test_no_stream_breaks_the_reader(noise: bytes, framed: bool) -> None:
    start = b"--frame\r\n" if framed else b""
    stream = io.BytesIO(start + noise)
    try:
        part = next_part(stream, b"--frame")
    except BadPartError:
        return
    assert part is None or part in noise
