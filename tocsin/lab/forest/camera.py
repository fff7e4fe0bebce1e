"""A virtual camera over the hill: a picture each time it is asked, /snapshot.jpg or, with 16 bits of temperature, /counts.png."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import msgspec

from tocsin.lab.forest.scene import Hill


class _Camera(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], hill: Hill, fps: float | None) -> None:
        super().__init__(address, _Handler)
        self.hill, self._fps, self._began = hill, fps, time.monotonic()
        self._lock, self._given = threading.Lock(), 0

    def moment_s(self) -> float:
        """Of the next picture: by the clock, or one picture after another."""
        if self._fps is None:
            return time.monotonic() - self._began
        with self._lock:
            self._given += 1
            return (self._given - 1) / self._fps


class _Handler(BaseHTTPRequestHandler):
    server: _Camera
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        camera = self.server
        if self.path == "/counts.png":
            kind, data = "png", cv2.imencode(".png", camera.hill.counts(camera.moment_s()))[1]
        elif self.path == "/snapshot.jpg":
            kind, data = "jpeg", cv2.imencode(".jpg", camera.hill.picture(camera.moment_s()))[1]
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", f"image/{kind}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(bytes(data))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Says nothing."""


def main() -> None:
    """Runs one camera process."""
    parser = argparse.ArgumentParser(prog="python -m tocsin.lab.forest.camera", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fire-after", type=float, help="seconds until smoke rises; else never")
    parser.add_argument("--hour", type=float, default=11.0, help="of the day, at the beginning")
    parser.add_argument("--hours-per-s", type=float, default=0.0, help="how fast the day goes by")
    parser.add_argument(
        "--fps",
        type=float,
        help="each picture is 1/FPS s after the one before, whenever it is asked for; else by the clock",
    )
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input closes")
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    hill = Hill(given.seed, given.fire_after, hour=given.hour, hours_per_s=given.hours_per_s)
    camera = _Camera((host, int(port)), hill, given.fps)
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
    camera.server_close()


def _lease(stopped: threading.Event) -> None:
    while sys.stdin.buffer.read(1024):
        pass
    stopped.set()


if __name__ == "__main__":
    main()
