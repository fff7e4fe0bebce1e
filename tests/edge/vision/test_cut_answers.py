"""Web servers of cameras that end a picture before the length they told, in each way that HTTP has."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edge.drivers.camera.config import CameraConfig
from edge.drivers.camera.driver import CameraDriver
from edge.survey import offline
from edge.vision.pipeline import camera as camera_module
from edge.vision.pipeline.camera import Camera
from edge.vision.pipeline.health import CameraState
from edge.vision.ptz.isapi import IsapiHead
from edge.vision.sources.address import Address
from edge.vision.sources.http_get import HttpGet
from edge.vision.sources.options import SourceOptions, opener
from edge.vision.sources.source import Reject, Source, Suspect
from tests.edge.vision.cameras import EVERY, Watched, watched
from tests.edge.vision.scenes import number_of
from tests.edge.vision.web_camera import whole
from tocsin.errors import LinkError
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

WAYS = ["length", "nothing", "chunked", "reset"]


class CutCamera:
    """Its pictures are numbered from 1; those that `is_cut` says end in their middle, and the connection with them."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.is_cut: Callable[[int], bool] = lambda _: False
        self.given = 0
        self.connections = 0


@contextmanager
def cut_camera() -> Iterator[CutCamera]:
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            camera.connections += 1

        def do_GET(self) -> None:
            way = self.path.split("/")[1]
            if way.startswith("mjpeg"):
                return self._push(closes=way == "mjpeg-closes")
            camera.given += 1
            body = whole(camera.given)
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            if way == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                chunks = [body[at : at + 700] for at in range(0, len(body), 700)]
                body = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
            else:
                told = len(body) + (way == "too-long") * 2
                self.send_header("Content-Length", str(told))
                self.end_headers()
            if way == "too-long":
                self.close_connection = True
            elif camera.is_cut(camera.given):
                self.close_connection = True
                body = b"" if way == "nothing" else body[: len(body) // 2]
            self.wfile.write(body)
            if way == "reset" and self.close_connection:
                at_once = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            return None

        def _push(self, *, closes: bool) -> None:
            """Each part tells its whole length."""
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                while not over.wait(0.01):
                    camera.given += 1
                    body = whole(camera.given)
                    head = b"--frame\r\nContent-Length: %d\r\n\r\n" % len(body)
                    is_cut = camera.is_cut(camera.given)
                    body = body[: len(body) // 2] if is_cut else body
                    self.wfile.write(head + body + b"\r\n")
                    if is_cut and closes:
                        return
            except OSError:
                return

        def log_message(self, *_args: object) -> None:
            """Silent."""

    class Server(ThreadingHTTPServer):
        def shutdown_request(self, request: Any) -> None:
            self.close_request(request)  # without its own end of the data before

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    camera = CutCamera(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield camera
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "_BAD_NS", 100_000_000)


def _camera(url: str) -> Camera:
    return Camera("cam", opener(SourceOptions(source=url, fps=100.0), SystemClock()), EVERY)


def _source(url: str) -> Source:
    return opener(SourceOptions(source=url, fps=100.0), SystemClock())(threading.Event().wait)


def _told(seen: Watched) -> list[str | None]:
    return [None if c.error is None else str(c.error) for c in seen.changes]


@pytest.mark.parametrize("way", WAYS)
def test_a_picture_that_ends_early_is_truncated_and_the_next_one_comes_by_a_new_connection(way: str) -> None:  # fmt: skip
    with cut_camera() as web:
        web.is_cut = lambda number: number % 2 == 1
        source = _source(f"{web.url}/{way}")
        source.open()
        found = list[object]()
        for _ in range(6):
            assert source.grab()
            raw = source.retrieve()
            found.append(raw if isinstance(raw, Reject | Suspect) else number_of(raw))
        source.close()
        assert found == [Reject.TRUNCATED, 2, Reject.TRUNCATED, 4, Reject.TRUNCATED, 6]
        assert web.connections == 4


@pytest.mark.parametrize("way", [*WAYS, "mjpeg"])
async def test_one_cut_picture_of_ten_harms_nothing(way: str) -> None:
    with cut_camera() as web:
        web.is_cut = lambda number: number % 10 == 1
        async with watched([_camera(f"{web.url}/{way}")]) as seen:
            await wait_until(lambda: seen.health("cam").rejected.get("truncated", 0) >= 4)
            assert _told(seen) == [None]
            health = seen.health("cam")
            assert (health.state, health.reconnects) == (CameraState.ONLINE, 0)
            assert health.frames >= 20
            assert set(health.rejected) <= {"truncated", "damaged"}
            assert not any(number % 10 == 1 for number in seen.numbers("cam"))


async def test_a_stream_that_ends_in_a_picture_is_asked_for_anew_and_nobody_is_told() -> None:
    with cut_camera() as web:
        web.is_cut = lambda number: number % 10 == 0
        async with watched([_camera(f"{web.url}/mjpeg-closes")]) as seen:
            await wait_until(lambda: web.connections >= 5)
            assert _told(seen) == [None]
            assert seen.health("cam").reconnects == 0
            web.is_cut = lambda _: True
            await wait_until(lambda: web.connections >= 10)
            told = _told(seen)
            assert len(told) == 2
            assert "ended the stream before its first picture was whole" in str(told[1])
            web.is_cut = lambda _: False
            await wait_until(lambda: seen.health("cam").state is CameraState.ONLINE)


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("way", [*WAYS, "mjpeg"])
async def test_a_camera_all_of_whose_pictures_are_cut_says_so_once_and_answers_when_one_is_whole(way: str) -> None:  # fmt: skip
    with cut_camera() as web:
        web.is_cut = lambda _: True
        async with watched([_camera(f"{web.url}/{way}")]) as seen:
            await wait_until(lambda: seen.health("cam").reconnects >= 4)
            (told,) = _told(seen)
            assert told is not None
            assert "none of its pictures can be read (truncated: they are cut short" in told
            web.is_cut = lambda _: False
            await wait_until(lambda: seen.health("cam").state is CameraState.ONLINE)
            web.is_cut = lambda _: True
            await wait_until(lambda: len(seen.changes) == 3)
            assert _told(seen) == [told, None, told]


def test_a_whole_picture_is_taken_though_its_camera_tells_too_great_a_length() -> None:
    with cut_camera() as web:
        source = _source(f"{web.url}/too-long")
        source.open()
        for number in (1, 2, 3):
            assert source.grab()
            raw = source.retrieve()
            assert not isinstance(raw, Reject | Suspect)
            assert number_of(raw) == number
        source.close()


def test_what_was_left_of_an_answer_is_not_taken_for_the_next() -> None:
    with cut_camera() as web:
        get = HttpGet(Address(f"{web.url}/length"), 4.0)
        for number in (1, 2, 3):
            assert get.get().read() == whole(number)
            assert len(get.get().read(10)) == 10
            web.given = number
        get.close()
        head = IsapiHead(Address(web.url))
        web.is_cut = lambda _: True
        for _ in range(3):
            with pytest.raises(LinkError) as caught:
                head.ask()
            assert "Request-sent" not in caught.value.message
        head.close()


async def test_a_probe_tells_why_no_picture_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "_BAD_NS", 100_000_000)
    monkeypatch.setattr("edge.drivers.camera.driver.PROBE_S", 2.0)
    with cut_camera() as web:
        web.is_cut = lambda _: True
        given = {"type": "camera", "name": "cams", "devices": [{"id": "gate", "source": f"{web.url}/length", "fps": 50.0}]}  # fmt: skip
        driver = CameraDriver(CameraConfig.model_validate(given), offline("cams"))
        (line,) = await driver.probe()
    assert not line.ok
    assert "none of its pictures can be read (truncated" in line.text
