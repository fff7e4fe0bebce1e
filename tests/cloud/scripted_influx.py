"""An HTTP server that speaks InfluxDB's write contract, and refuses as a test tells it to."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloud.query.line_protocol import FieldValue, parse

Reply = tuple[int, dict[str, str], str]
Answering = Callable[[bytes], Reply]
STORED: Reply = (204, {}, "")


class ScriptedInflux:
    """`answering` decides for each body; what it answers with 2xx is kept, a point by series and time as InfluxDB keeps it.

    `before_answer` may break the connection or wait; the points are kept then.
    """

    def __init__(self) -> None:
        self.answering: Answering = lambda _body: STORED
        self.before_answer: Callable[[socket.socket], None] = lambda _connection: None
        self.bodies: list[bytes] = []
        self.points: dict[tuple[str, tuple[tuple[str, str], ...], int], dict[str, FieldValue]] = {}
        self.url = ""

    def take(self, body: bytes) -> Reply:
        """One write."""
        self.bodies.append(body)
        reply = self.answering(body)
        if reply[0] < 300:
            self.keep(body)
        return reply

    def keep(self, body: bytes) -> None:
        """Store its lines."""
        points, bad = parse(body.decode(), "ns")
        assert not bad, bad
        for point in points:
            assert point.time_ns is not None
            key = point.measurement, point.tags, point.time_ns
            fields = {name: value for name, (_, value) in point.fields.items()}
            self.points.setdefault(key, {}).update(fields)

    def values(self, field: str) -> list[FieldValue]:
        """Every stored value of a field, in order of `seq`."""
        rows = sorted(self.points.values(), key=lambda fields: float(fields["seq"]))
        return [fields[field] for fields in rows if field in fields]


def reset(connection: socket.socket) -> None:
    """End a connection in the middle of an answer, as a crash does."""
    connection.sendall(b"HTTP/1.1 2")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def late(seconds: float) -> Callable[[socket.socket], None]:
    """Answer only then."""
    return lambda _connection: time.sleep(seconds)


@contextmanager
def scripted_influx() -> Iterator[ScriptedInflux]:
    """On a free port until the end."""
    script = ScriptedInflux()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status, headers, text = script.take(body)
            script.before_answer(self.connection)
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())
            except OSError:
                self.close_connection = True

        def do_GET(self) -> None:
            self.send_response(204)
            self.send_header("X-Influxdb-Version", "2.7.0")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a connection that the script broke

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
