"""A virtual ONVIF camera that can be turned: `python -m firmware_bridges.onvif.device --listen 127.0.0.1:0`.

It answers GetSystemDateAndTime (to anyone), GetServices, GetProfiles, GetSnapshotUri (with `--snapshot`), and of the PTZ service
GetStatus, AbsoluteMove and Stop, with username tokens checked; the snapshot itself for HTTP Basic access. It turns and zooms with a speed of its own towards where it was told to look.
"""

from __future__ import annotations

import argparse
import base64
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from firmware_bridges.onvif import soap

MAX_REQUEST = 1 << 20


class Head:
    """The camera's head: where it looks, and whither it turns."""

    def __init__(self, speed_per_s: float) -> None:
        self._speed_per_s = speed_per_s
        self._lock = threading.Lock()
        self._at = [0.0, 0.0, 0.0]
        self._to = [0.0, 0.0, 0.0]
        self._since_s = time.monotonic()

    def _turn(self) -> None:
        now_s = time.monotonic()
        most, self._since_s = (now_s - self._since_s) * self._speed_per_s, now_s
        for i, (at, to) in enumerate(zip(self._at, self._to, strict=True)):
            self._at[i] = at + max(-most, min(most, to - at))

    def look(self, pan_tilt: tuple[float, float] | None, zoom: float | None) -> None:
        """Turn there from now on; None leaves an axis."""
        with self._lock:
            self._turn()
            if pan_tilt is not None:
                self._to[:2] = [max(-1.0, min(1.0, axis)) for axis in pan_tilt]
            if zoom is not None:
                self._to[2] = max(0.0, min(1.0, zoom))

    def stop(self) -> None:
        """Stay where it is."""
        with self._lock:
            self._turn()
            self._to = list(self._at)

    def state(self) -> soap.State:
        """Now."""
        with self._lock:
            self._turn()
            moves = [abs(a - b) > 1e-9 for a, b in zip(self._at, self._to, strict=True)]
            pan, tilt, zoom = self._at
            return soap.State(pan, tilt, zoom, moving=moves[0] or moves[1], zooming=moves[2])


class Camera(ThreadingHTTPServer):
    """The camera's web server."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], given: argparse.Namespace) -> None:
        super().__init__(address, _Handler)
        self.user, _, self.password = given.user.partition(":")
        self.has_ptz = not given.fixed
        self.head = Head(given.speed)
        self.root = f"http://{address[0]}:{self.server_address[1]}"
        self.url = f"{self.root}/onvif/device_service"
        self.snapshot: Path | None = given.snapshot

    def answer(self, data: bytes) -> tuple[int, bytes]:
        """(HTTP status, answer) to one request."""
        try:
            asked = soap.read(data, self.password)
        except ValueError as exc:
            return 400, soap.fault("ter:WellFormed", str(exc))
        now = datetime.now(UTC)
        if asked.operation == "GetSystemDateAndTime":
            return 200, soap.date_and_time(now)
        if asked.user != self.user or not asked.proven:
            return 400, soap.fault("ter:NotAuthorized", "Sender not Authorized")
        if asked.operation == "GetServices":
            return 200, soap.services(self.url, ptz=self.has_ptz)
        if asked.operation == "GetProfiles":
            return 200, soap.profiles()
        if asked.operation == "GetSnapshotUri" and self.snapshot is not None:
            return 200, soap.snapshot_uri(f"{self.root}/snapshot.jpg")
        if asked.operation == "GetStatus" and self.has_ptz:
            return 200, soap.status(self.head.state(), now)
        if asked.operation == "AbsoluteMove" and self.has_ptz:
            self.head.look(asked.pan_tilt, asked.zoom)
            return 200, soap.done("AbsoluteMove")
        if asked.operation == "Stop" and self.has_ptz:
            self.head.stop()
            return 200, soap.done("Stop")
        return 400, soap.fault("ter:ActionNotSupported", f"{asked.operation} is not supported")


class _Handler(BaseHTTPRequestHandler):
    server: Camera
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        size = min(int(self.headers.get("Content-Length", "0")), MAX_REQUEST)
        code, answer = self.server.answer(self.rfile.read(size))
        self.send_response(code)
        self.send_header("Content-Type", "application/soap+xml; charset=utf-8")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        camera = self.server
        account = base64.b64encode(f"{camera.user}:{camera.password}".encode()).decode()
        data, code = b"", 404
        if self.headers.get("Authorization") != f"Basic {account}":
            code = 401
        elif camera.snapshot is not None and self.path == "/snapshot.jpg":
            data, code = camera.snapshot.read_bytes(), 200
        self.send_response(code)
        if code == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Says nothing."""


def main() -> None:
    """Runs one camera process."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.onvif.device", description=__doc__
    )
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT")
    parser.add_argument("--user", default="tocsin:camera", help="NAME:PASSWORD")
    parser.add_argument("--speed", type=float, default=0.5, help="of an axis, per second")
    parser.add_argument("--fixed", action="store_true", help="a camera without PTZ")
    parser.add_argument("--snapshot", type=Path, help="JPEG file that it gives as its snapshot")
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input closes")
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    camera = Camera((host, int(port)), given)
    ready = {"ready": True, "device": "camera", "port": f"{host}:{camera.server_address[1]}"}
    sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
    sys.stdout.flush()
    stopped = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stopped.set())
    if given.stdin_lease:
        threading.Thread(target=_lease, args=(stopped,), daemon=True).start()
    threading.Thread(target=camera.serve_forever, daemon=True).start()
    stopped.wait()
    camera.shutdown()


def _lease(stopped: threading.Event) -> None:
    while sys.stdin.buffer.read(1024):
        pass
    stopped.set()


if __name__ == "__main__":
    main()
