"""A virtual camera over the hill: a JPEG at /snapshot.jpg each time it is asked, of the moment it is asked."""

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

    def __init__(self, address: tuple[str, int], hill: Hill) -> None:
        super().__init__(address, _Handler)
        self.hill, self.began = hill, time.monotonic()


class _Handler(BaseHTTPRequestHandler):
    server: _Camera
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        at_s = time.monotonic() - self.server.began
        _, data = cv2.imencode(".jpg", self.server.hill.picture(at_s))
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
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
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input closes")
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    hill = Hill(given.seed, given.fire_after, hour=given.hour, hours_per_s=given.hours_per_s)
    camera = _Camera((host, int(port)), hill)
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
