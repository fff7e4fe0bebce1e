"""Devices that publish to a field broker, and write down what it confirmed: `python -m tocsin.lab.chaos.publisher --help`.

Message `n` of a device is `{"ts": its own time in ms, "n": n, "proof": proof(n)}`. A line of the ledger stands for a message
that got its PUBACK: from then on the device has forgotten it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec

from tocsin.testing.mqtt_field import FIELD
from tocsin.testing.peer import Peer


class Confirmed(msgspec.Struct, frozen=True):
    """One line of the ledger."""

    device: str
    n: int
    t_ns: int


def proof(n: int) -> float:
    """A number that only message `n` carries beside `n`."""
    return (n * 7919 % 100_003) / 8


def publish(
    port: int, devices: list[str], period_s: float, ledger: Path, ended: threading.Event
) -> None:
    """All devices once a period until `ended`; each message only after the one before it is confirmed."""
    with Peer(port, FIELD.user, FIELD.password, client_id="chaos-devices") as peer:
        sys.stdout.write('{"ready": true}\n')
        sys.stdout.flush()
        with ledger.open("ab", buffering=0) as file:
            n, due_s = 0, time.monotonic()
            while not ended.wait(max(0.0, due_s - time.monotonic())):
                due_s += period_s
                for device in devices:
                    t_ms = time.time_ns() // 1_000_000
                    body = {"ts": t_ms, "n": n, "proof": proof(n)}
                    peer.publish(f"chaos/{device}", msgspec.json.encode(body))
                    file.write(msgspec.json.encode(Confirmed(device, n, t_ms * 1_000_000)) + b"\n")
                n += 1


def read_confirmed(path: Path) -> list[Confirmed]:
    """The ledger; nothing when there is none yet."""
    if not path.exists():
        return []
    decoder = msgspec.json.Decoder(Confirmed)
    return [decoder.decode(line) for line in path.read_bytes().split(b"\n")[:-1]]


def main() -> None:
    """Until SIGTERM, or standard input ends."""
    parser = argparse.ArgumentParser(description="Devices that publish to a field broker.")
    parser.add_argument("--port", type=int, required=True, help="port of the broker")
    parser.add_argument("--device", action="append", required=True, help="name, once a device")
    parser.add_argument("--period", type=float, default=0.05, help="seconds between messages")
    parser.add_argument("--ledger", type=Path, required=True, help="what was confirmed, NDJSON")
    given = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())

    def leased() -> None:
        while os.read(0, 4096):  # not through sys.stdin: its lock would be held when we end
            pass
        ended.set()

    threading.Thread(target=leased, daemon=True).start()
    publish(given.port, given.device, given.period, given.ledger, ended)


if __name__ == "__main__":
    main()
