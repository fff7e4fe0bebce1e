"""A virtual camera with ISAPI: `python -m firmware_bridges.isapi.device --listen 127.0.0.1:0`.

For Digest access it answers `GET /ISAPI/PTZCtrl/channels/1/status`, and turns with a speed of its own where
`PUT /ISAPI/PTZCtrl/channels/1/absolute` tells it to look (PTZData). Elevation counts downwards, as at domes.
`--answers` makes it a bad one: `garbage`, `drips` (a byte now and then), or `silent`.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from firmware_bridges.isapi.access import Guard

PATH = "/ISAPI/PTZCtrl/channels/1"
NAMES = ("elevation", "azimuth", "absoluteZoom")
MAX_REQUEST = 1 << 16
DRIP_S = 0.05


class Head:
    """Where it looks and whither it turns, in tenths: elevation, azimuth, zoom."""

    def __init__(self, at: list[float], speed_deg_per_s: float) -> None:
        self._at, self._to, self._speed = at, list(at), speed_deg_per_s * 10
        self._since_s, self._lock = time.monotonic(), threading.Lock()

    def look(self, asked: dict[str, float]) -> None:
        """Turn there from now on."""
        with self._lock:
            self._turn()
            self._to = [asked.get(name, to) for name, to in zip(NAMES, self._to, strict=True)]

    def status(self) -> bytes:
        """Now."""
        with self._lock:
            self._turn()
            told = "".join(
                f"<{name}>{round(at)}</{name}>" for name, at in zip(NAMES, self._at, strict=True)
            )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<PTZStatus version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">'
            f"<AbsoluteHigh>{told}</AbsoluteHigh></PTZStatus>\n"
        ).encode()

    def _turn(self) -> None:
        now_s = time.monotonic()
        most, self._since_s = (now_s - self._since_s) * self._speed, now_s
        for i, (at, to) in enumerate(zip(self._at, self._to, strict=True)):
            self._at[i] = at + max(-most, min(most, to - at))


class Camera(ThreadingHTTPServer):
    """The camera's web server."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], given: argparse.Namespace) -> None:
        super().__init__(address, _Handler)
        user, _, password = given.user.partition(":")
        self.guard = Guard(user, password, given.nonce_uses)
        self.head = Head([given.elevation, given.azimuth, given.zoom], given.speed)
        self.answers: str = given.answers
        self.over = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: Camera
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        camera = self.server
        if camera.answers == "silent":
            camera.over.wait()
            return
        if not self._may():
            return
        if self.path != f"{PATH}/status":
            self._answer(404, b"<ResponseStatus><statusCode>4</statusCode></ResponseStatus>")
        elif camera.answers == "drips":
            self._drip(camera.head.status())
        elif camera.answers == "garbage":
            self._answer(200, b"\x00\xff<PTZStatus><AbsoluteHigh>")
        else:
            self._answer(200, camera.head.status())

    def do_PUT(self) -> None:
        size = min(int(self.headers.get("Content-Length", "0")), MAX_REQUEST)
        asked = self.rfile.read(size).decode("utf-8", "replace")
        if not self._may():
            return
        found = re.findall(r"<(elevation|azimuth|absoluteZoom)>(-?\d{1,5})</", asked)
        self.server.head.look({name: float(number) for name, number in found})
        self._answer(200, b"<ResponseStatus><statusCode>1</statusCode></ResponseStatus>")

    def _may(self) -> bool:
        guard = self.server.guard
        given = self.headers.get("Authorization", "")
        if given and guard.passes(given, self.command, self.path):
            return True
        self._answer(401, b"", ("WWW-Authenticate", guard.challenge()))
        return False

    def _drip(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            try:
                self.wfile.write(bytes((byte,)))
            except OSError:
                return
            if self.server.over.wait(DRIP_S):
                return

    def _answer(self, code: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Says nothing."""


def main() -> None:
    """Runs one camera process."""
    parser = argparse.ArgumentParser(prog="python -m firmware_bridges.isapi.device", description=__doc__)  # fmt: skip
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT")
    parser.add_argument("--user", default="tocsin:camera", help="NAME:PASSWORD")
    parser.add_argument("--elevation", type=float, default=0.0, help="tenths of a degree, down")
    parser.add_argument("--azimuth", type=float, default=0.0, help="tenths of a degree")
    parser.add_argument("--zoom", type=float, default=10.0, help="tenths")
    parser.add_argument("--speed", type=float, default=90.0, help="of an axis, degrees a second")
    parser.add_argument("--nonce-uses", type=int, default=5, help="how often a nonce is good")
    parser.add_argument("--answers", choices=("well", "garbage", "drips", "silent"), default="well")
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input closes")
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    camera = Camera((host, int(port)), given)
    ready = {"ready": True, "device": "camera", "port": f"{host}:{camera.server_address[1]}"}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: camera.over.set())
    if given.stdin_lease:
        threading.Thread(target=_lease, args=(camera.over,), daemon=True).start()
    threading.Thread(target=camera.serve_forever, daemon=True).start()
    camera.over.wait()
    camera.shutdown()


def _lease(over: threading.Event) -> None:
    while sys.stdin.buffer.read(1024):
        pass
    over.set()


if __name__ == "__main__":
    main()
