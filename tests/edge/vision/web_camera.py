"""A camera's web server, and JPEGs as encoders write them wrong."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2

from edge.vision.frame import Picture
from edge.vision.sources.damage import Damage
from tests.edge.vision.scenes import numbered

RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 8)
EOI = b"\xff\xd9"


def encoded(picture: Picture, *options: int) -> bytes:
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


def coded_at(jpeg: bytes) -> int:
    at = jpeg.index(b"\xff\xda")
    return at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")


def renumbered(jpeg: bytes, number: Callable[[int], int]) -> bytes:
    """Its restarts, the nth of which is numbered `number(n)`."""
    at, parts = coded_at(jpeg), list[bytes]()
    for i, part in enumerate(re.split(rb"\xff[\xd0-\xd7]", jpeg[at:])):
        parts += [bytes((0xFF, 0xD0 + number(i - 1) % 8)), part] if i else [part]
    return jpeg[:at] + b"".join(parts)


def before_scan(jpeg: bytes, what: bytes) -> bytes:
    at = jpeg.index(b"\xff\xda")
    return jpeg[:at] + what + jpeg[at:]


ENDLESS: dict[str, tuple[tuple[int, ...], Callable[[bytes], bytes]]] = {
    "no end": ((), lambda j: j[:-2]),
    "no end but padding": (RESTARTS, lambda j: j[:-2] + bytes(7)),
    "no end and odd restarts": (RESTARTS, lambda j: renumbered(j, lambda _: 0)[:-2]),
    "half an end": ((), lambda j: j[:-1]),
    "a reserved marker at the end": ((), lambda j: j[:-2] + b"\xff\x02\0\4ab" + EOI),
    "two pictures and one end": ((), lambda j: j[:-2] + j),
}
"""Whole pictures behind whose data no end marker stands: nothing tells them from those cut short."""

WRONG: dict[str, tuple[tuple[int, ...], Callable[[bytes], bytes], Damage]] = {
    "all restarts of one number": (RESTARTS, lambda j: renumbered(j, lambda _: 0), Damage.RESTARTS),
    "restarts from 1": (RESTARTS, lambda j: renumbered(j, lambda n: n + 1), Damage.RESTARTS),
    "a restart where none is": ((), lambda j: j[:-2] + b"\xff\xd0" + EOI, Damage.RESTARTS),
    "a last restart of any number": (RESTARTS, lambda j: j[:-2] + b"\xff\xd3" + EOI, Damage.RESTARTS),
    "bytes in the header": ((), lambda j: before_scan(j, b"abc"), Damage.MARKER),
    "a marker in the header": ((), lambda j: before_scan(j, b"\xff\xf0\0\4ab"), Damage.MARKER),
    "a start in the header": ((), lambda j: before_scan(j, b"\xff\xd8"), Damage.MARKER),
}  # fmt: skip
"""By what is wrong: options of the encoder, what happens to its JPEG, and what that is called."""


def wrong(how: str) -> Callable[[int], bytes]:
    """Numbered pictures, each written wrong in this way."""
    options, spoil, _ = WRONG[how]
    return lambda number: spoil(encoded(numbered(number % 256), *options))


def whole(number: int) -> bytes:
    return encoded(numbered(number % 256))


def cut(number: int) -> bytes:
    """Half of its data are missing."""
    data = whole(number)
    return data[: len(data) // 2]


class WebCamera:
    """Gives snapshots at `/snapshot` and a stream at `/mjpeg`, each picture as `picture` writes it at that moment."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.picture: Callable[[int], bytes] = whole
        self.given = 0

    def next(self) -> bytes:
        self.given += 1
        return self.picture(self.given)


@contextmanager
def web_camera() -> Iterator[WebCamera]:
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            if self.path == "/mjpeg":
                self._push()
            else:
                body = camera.next()
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def _push(self) -> None:
            self.close_connection = True
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                while not over.wait(0.01):
                    body = camera.next()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
                    self.wfile.write(head.encode() + body + b"\r\n")
            except OSError:
                return

        def log_message(self, *_args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    camera = WebCamera(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield camera
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
