"""A load for a gateway's MQTT side: messages of many devices, encoded before the start, sent at a pace or as fast as the broker takes them.

A process of its own on plain sockets (MQTT 3.1.1, QoS 1), so that its work is nobody else's. Message n comes from device
n modulo `--devices` on the topic `bench/<device>` and says `{"ts": milliseconds, "n": n, ...}`. Says `ready`, waits for a
line, sends, waits for the last PUBACK and prints a `Published`.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import sys
import time
from contextlib import suppress

import msgspec

from tocsin.mqtt import packets
from tocsin.testing.mqtt_field import FIELD

TICK_S = 0.002
CHUNK = 256
FLOOD_PER_S = 20_000.0  # the pace of the messages' own times where they are sent without one
LAST_PUBACK_S = 30.0
FIELDS = ("n", "temperature", "humidity", "pressure")


class Published(msgspec.Struct, frozen=True):
    """What was sent. `sent_ns`: (first number, wall clock) of each piece that went to the socket at once."""

    messages: int
    pubacks: int
    payload_bytes: int
    seconds: float
    sent_ns: list[tuple[int, int]]


def device(number: int, devices: int) -> str:
    """Which device sends message `number`."""
    return f"mast-{number % devices + 1:03d}"


def values(number: int) -> tuple[float, ...]:
    """What message `number` says, in the order of `FIELDS`."""
    return (float(number), number % 600 / 10 - 20, number % 1000 / 10, 900 + number % 2000 / 10)


def payload(number: int, at_ms: int) -> bytes:
    """The JSON text of message `number`."""
    told = dict(zip(FIELDS, values(number), strict=True))
    return msgspec.json.encode({"ts": at_ms} | told)


def encoded(messages: int, devices: int, per_s: float) -> list[bytes]:
    """PUBLISH packets; their times begin now and go on at `per_s`."""
    began_ms = time.time_ns() // 1_000_000
    step_ms = 1000 / per_s
    return [
        packets.publish(
            4,
            f"bench/{device(n, devices)}",
            payload(n, began_ms + int(n * step_ms)),
            n % 65_535 + 1,
        )
        for n in range(messages)
    ]


def connected(port: int) -> socket.socket:
    """A session at the field broker."""
    sock = socket.create_connection(("127.0.0.1", port), 10.0)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(
        packets.connect(4, "bench-field", 600, username=FIELD.user, password=FIELD.password)
    )
    answer = sock.recv(4)
    if answer[3:] != b"\0":
        raise SystemExit("the broker refuses the connection")
    sock.setblocking(False)
    return sock


def run(sock: socket.socket, made: list[bytes], per_s: float, window: int) -> Published:
    """Send them all; `per_s` 0: as fast as at most `window` without a PUBACK allow."""
    began_s = heard_s = time.monotonic()
    sent = acked_bytes = 0
    stamps: list[tuple[int, int]] = []
    out = b""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while acked_bytes < 4 * len(made) and time.monotonic() - heard_s < LAST_PUBACK_S:
            due = int((time.monotonic() - began_s) * per_s) + 1 if per_s else len(made)
            limit = min(due, len(made), acked_bytes // 4 + window)
            if not out and limit > sent:
                stamps.append((sent, time.time_ns()))
                upto = min(limit, sent + CHUNK)
                out, sent = b"".join(made[sent:upto]), upto
            if out:
                with suppress(BlockingIOError):
                    out = out[sock.send(out) :]
            selector.modify(sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if out else 0))
            for _, ready in selector.select(0 if limit > sent and not out else TICK_S):
                if ready & selectors.EVENT_READ:
                    came = sock.recv(1 << 18)
                    if not came:
                        raise SystemExit("the broker closed the connection")
                    acked_bytes, heard_s = acked_bytes + len(came), time.monotonic()
    took_s = time.monotonic() - began_s
    return Published(sent, acked_bytes // 4, sum(map(len, made)), round(took_s, 3), stamps)


def main() -> None:
    """Runs one load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the field broker's, on loopback")
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--per-s", type=float, default=0.0, help="messages of all; 0: no pace")
    parser.add_argument("--window", type=int, default=2000, help="most without a PUBACK")
    given = parser.parse_args()
    made = encoded(given.messages, given.devices, given.per_s or FLOOD_PER_S)
    sock = connected(given.port)
    _say({"ready": True})
    if sys.stdin.readline():
        _say(run(sock, made, given.per_s, given.window))


def _say(line: object) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
