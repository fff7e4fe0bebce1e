"""A load for the cloud: messages of many gateways, encoded before the start, sent as fast as the cloud commits or at a pace.

A process of its own (`python -m tocsin.lab.load`), so that its work is not counted as anybody else's. MQTT 3.1.1, QoS 1. As a
real gateway it keeps at most a window of bytes that the cloud has not committed. Says `ready`, waits for a line, sends,
waits for the last commit-ack and prints a `Sent`.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import struct
import sys
import time
from collections import deque
from pathlib import Path

import msgspec

from tocsin.contract import topics
from tocsin.contract.codec import Codec
from tocsin.contract.ids import ulid
from tocsin.contract.messages import CommitAck
from tocsin.lab.load_messages import Shape, packets, remaining_length
from tocsin.lab.report import percentile

CHUNK_BYTES = 1 << 16
LAST_ACK_S = 60.0
KEEPALIVE_S = 600


class Sent(msgspec.Struct, frozen=True):
    """What was sent, from the first publish to the last commit-ack. `uncommitted`: messages the cloud never confirmed."""

    messages: int
    readings: int
    payload_bytes: int
    seconds: float
    uncommitted: int
    rows: list[int]  # of each gateway
    commit_p50_ms: float | None
    commit_p99_ms: float | None


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!H", len(data)) + data


class _Gateway:
    """One connection."""

    def __init__(self, name: str, site: str, shape: Shape, n: int, codec: Codec) -> None:
        self.name, self.site, self.shape = name, site, shape
        self.stream = ulid(time.time_ns())
        self.packets, self.payload_bytes = packets(name, site, self.stream, shape, n, codec)
        self.next = self.committed = self.uncommitted_bytes = 0
        self.sent_ns: deque[tuple[int, int, int]] = deque()  # when, one past the last, bytes
        self.ages_ms: list[float] = []
        self._out, self._in = b"", bytearray()
        self.socket = socket.socket()

    def connect(self, port: int, password: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = _text("MQTT") + bytes((4, 0xC2)) + struct.pack("!H", KEEPALIVE_S)
        body += _text(self.name) + _text(self.name) + _text(password)
        self.socket.sendall(b"\x10" + remaining_length(len(body)) + body)
        if self.socket.recv(4)[3:] != b"\0":
            raise SystemExit(f"{self.name}: the broker refuses the connection")
        wanted = b"\0\1" + _text(topics.down_filter(self.site, self.name)) + b"\1"
        self.socket.sendall(b"\x82" + remaining_length(len(wanted)) + wanted)
        self.socket.setblocking(False)

    def write(self, upto: int, window_bytes: int) -> bool:
        """Sends packets before number `upto` while the window admits; whether it waits for the socket."""
        now_ns = time.monotonic_ns()
        while not self._out and self.next < upto and self.uncommitted_bytes < window_bytes:
            start, size = self.next, 0
            while self.next < upto and size < min(
                CHUNK_BYTES, window_bytes - self.uncommitted_bytes
            ):
                size += len(self.packets[self.next])
                self.next += 1
            self.uncommitted_bytes += size
            self.sent_ns.append((now_ns, self.next, size))
            self._out = b"".join(self.packets[start : self.next])
            self._flush()
        if self._out:
            self._flush()
        return bool(self._out)

    def _flush(self) -> None:
        try:
            self._out = self._out[self.socket.send(self._out) :]
        except BlockingIOError:
            return

    def read(self) -> None:
        """Takes what came; commit-acks move `committed`."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise SystemExit(f"{self.name}: the broker closed the connection")
        self._in += data
        at, end = 0, len(self._in)
        while end - at >= 2:
            size = shift = 0
            body = at + 1
            while body < end:
                byte = self._in[body]
                size |= (byte & 127) << shift
                body, shift = body + 1, shift + 7
                if byte < 128:
                    break
            else:
                break
            if body + size > end:
                break
            if self._in[at] >> 4 == 3:
                self._publish(self._in[at], bytes(self._in[body : body + size]))
            at = body + size
        del self._in[:at]

    def _publish(self, first: int, body: bytes) -> None:
        start = 2 + int.from_bytes(body[:2])
        if first & 6:
            self._out += b"\x40\x02" + body[start : start + 2]
            start += 2
        if b"/down/ack/" not in body[:start]:
            return
        ack = msgspec.json.decode(body[start:], type=CommitAck).streams.get(self.stream)
        if ack is None:
            return
        now_ns = time.monotonic_ns()
        self.committed = ack.upto // self.shape.rows
        while self.sent_ns and self.sent_ns[0][1] <= self.committed:
            at_ns, _, size = self.sent_ns.popleft()
            self.uncommitted_bytes -= size
            self.ages_ms.append((now_ns - at_ns) / 1e6)


def run(
    gateways: list[_Gateway], *, seconds: float, per_s: float, window_bytes: int
) -> tuple[float, int]:
    """(seconds from the first publish to the last commit-ack, messages sent and not committed)."""
    began_s = time.monotonic()
    committed_s, committed = began_s, 0
    with selectors.DefaultSelector() as selector:
        for gateway in gateways:
            selector.register(gateway.socket, selectors.EVENT_READ, gateway)
        while True:
            now_s = time.monotonic()
            sending = now_s - began_s < seconds
            upto = int((now_s - began_s) * per_s / len(gateways)) + 1 if per_s else sys.maxsize
            for gateway in gateways:
                limit = min(upto, len(gateway.packets)) if sending else gateway.next
                blocked = gateway.write(limit, window_bytes)
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if blocked else 0)
                if selector.get_key(gateway.socket).events != events:
                    selector.modify(gateway.socket, events, gateway)
            for key, ready in selector.select(0.002 if per_s and sending else 0.05):
                if ready & selectors.EVENT_READ:
                    key.data.read()
            done = sum(gateway.committed for gateway in gateways)
            if done > committed:
                committed, committed_s = done, time.monotonic()
            more = sending and any(g.next < len(g.packets) for g in gateways)
            left = sum(g.next - g.committed for g in gateways)
            if not more and (not left or now_s - committed_s > LAST_ACK_S):
                return committed_s - began_s, left


def main() -> None:
    """Runs one load."""
    parser = argparse.ArgumentParser(prog="python -m tocsin.lab.load", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the broker's, on loopback")
    parser.add_argument("--site", required=True)
    parser.add_argument("--gateway", action="append", required=True, help="name; also its account")
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--rows", type=int, required=True, help="stamps in a message")
    parser.add_argument("--quantities", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True, help="of each gateway")
    parser.add_argument("--messages", type=int, required=True, help="most, of each gateway")
    parser.add_argument("--seconds", type=float, required=True, help="ends sending")
    parser.add_argument("--per-s", type=float, default=0.0, help="messages of all; 0: no pace")
    parser.add_argument("--window-bytes", type=int, default=1 << 20, help="of each gateway")
    parser.add_argument("--codec", default="jn")
    given = parser.parse_args()
    shape = Shape(given.rows, given.quantities, given.devices)
    gateways = [
        _Gateway(name, given.site, shape, given.messages, given.codec) for name in given.gateway
    ]
    password = given.password_file.read_text("utf-8").strip()
    for gateway in gateways:
        gateway.connect(given.port, password)
    _say({"ready": True})
    if not sys.stdin.readline():
        return
    took_s, left = run(
        gateways, seconds=given.seconds, per_s=given.per_s, window_bytes=given.window_bytes
    )
    ages_ms = [age for gateway in gateways for age in gateway.ages_ms]
    sent = sum(g.next for g in gateways)
    size = sum(len(p) for g in gateways for p in g.packets[: g.next])
    share = sum(g.payload_bytes for g in gateways) / sum(
        len(p) for g in gateways for p in g.packets
    )
    _say(
        Sent(
            messages=sent,
            readings=sent * shape.readings,
            payload_bytes=round(size * share),
            seconds=round(took_s, 3),
            uncommitted=left,
            rows=[g.next * shape.rows for g in gateways],
            commit_p50_ms=percentile(ages_ms, 0.5),
            commit_p99_ms=percentile(ages_ms, 0.99),
        )
    )


def _say(line: object) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
