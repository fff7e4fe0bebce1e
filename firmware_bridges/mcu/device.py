"""The virtual sensor board: `python -m firmware_bridges.mcu.device --pty --ledger FILE` runs the reference firmware.

Prints one JSON line when ready. Samples every period from its start, whether anyone listens or not, and holds them
until the host acknowledges. Ends on SIGTERM, or with `--stdin-lease` when its stdin closes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import select
import signal
import socket
import sys
import time
import tty
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from firmware_bridges.ledger import Ledger
from firmware_bridges.mcu.firmware.tocsin_board import Board

SENSORS = [("h2s", "[ppm]", 0, 100), ("temp", "Cel", -40, 85), ("door_open", "1", 0, 1)]
_BOOT_NOISE = b"ets Jul 29 2019 12:21:46\r\nrst:0x1 (POWERON_RESET)\r\n\xff\xfe\x00"


class Port(Protocol):
    """One line that the host may or may not hold open."""

    name: str

    def fds(self) -> list[int]:
        """What to wait for."""
        ...

    def take(self) -> bytes:
        """What came since the last call."""
        ...

    def send(self, data: bytes) -> None:
        """Put it on the line; lost when nobody listens, as on a real one."""
        ...


class Terminal:
    """A pseudo-terminal."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.name = os.ttyname(self._slave)

    def fds(self) -> list[int]:
        return [self._master]

    def take(self) -> bytes:
        with suppress(BlockingIOError):
            return os.read(self._master, 4096)
        return b""

    def send(self, data: bytes) -> None:
        with suppress(BlockingIOError):
            os.write(self._master, data)


class Tcp:
    """A serial device server with one client; a new one takes the old one's place."""

    def __init__(self, host: str, port: int) -> None:
        self._server = socket.create_server((host, port))
        self._server.setblocking(False)
        self._client: socket.socket | None = None
        self.name = f"{host}:{self._server.getsockname()[1]}"

    def fds(self) -> list[int]:
        return [self._server.fileno(), *([self._client.fileno()] if self._client else [])]

    def take(self) -> bytes:
        with suppress(BlockingIOError):
            client, _ = self._server.accept()
            self._drop()
            client.setblocking(False)
            self._client = client
        try:
            data = self._client.recv(4096) if self._client else b""
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._drop()
        return data

    def send(self, data: bytes) -> None:
        if self._client is not None:
            with suppress(OSError):
                self._client.send(data)

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class Noisy:
    """Spoils every n-th write: one byte turned, one dropped, or noise put before it."""

    def __init__(self, port: Port, every: int, seed: int) -> None:
        self._port, self._every, self._random = port, every, random.Random(seed)
        self._writes = 0

    def __call__(self, data: bytes) -> None:
        self._writes += 1
        if self._every and self._writes % self._every == 0:
            at = self._random.randrange(len(data))
            spoilt = (data[:at] + data[at + 1 :], data[:at] + b"\x55" + data[at + 1 :])
            data = self._random.choice((*spoilt, _BOOT_NOISE + data))
        self._port.send(data)


def values_at(n: int) -> list[float | int | None]:
    """The n-th sample: a slow swing, a temperature that is sometimes not there, a door."""
    swing = round(5 + 4 * math.sin(n / 20), 3)
    return [swing, None if n % 17 == 0 else 20.5 + n % 5, (n // 25) % 2]


def main() -> None:
    """Run until told to end."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.mcu.device", description=__doc__
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--tcp", metavar="HOST:PORT", help="listen; port 0 takes any free one")
    where.add_argument("--pty", action="store_true", help="open a pseudo-terminal")
    parser.add_argument("--board", default="board-1", help="its name")
    parser.add_argument("--device", default="board-1", help="id in the ledger")
    parser.add_argument("--hz", type=float, default=1.0, help="samples a second, up to 50")
    parser.add_argument("--count", type=int, default=0, help="stop sampling after so many; 0 never")
    parser.add_argument("--keep", type=int, default=64, help="frames held until acknowledged")
    parser.add_argument("--resend-ms", type=int, default=2000)
    parser.add_argument(
        "--spoil-every", type=int, default=0, metavar="N", help="spoil each Nth write"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", type=Path, help="append what was sampled, NDJSON")
    parser.add_argument("--stdin-lease", action="store_true", help="end when stdin closes")
    args = parser.parse_args()
    if not 0.01 <= args.hz <= 50.0:
        raise SystemExit("--hz must lie between 0.01 and 50")
    host, _, number = (args.tcp or "").rpartition(":")
    port: Port = Tcp(host or "127.0.0.1", int(number)) if args.tcp else Terminal()
    start_ms = time.monotonic_ns() // 1_000_000
    board = Board(  # type: ignore[no-untyped-call]
        args.board,
        "virtual 1.0",
        random.SystemRandom().getrandbits(32),
        SENSORS,
        Noisy(port, args.spoil_every, args.seed),
        lambda: time.monotonic_ns() // 1_000_000 - start_ms,
        keep=args.keep,
        resend_ms=args.resend_ms,
    )
    ready = {"ready": True, "device": args.device, "port": port.name, "family": "mcu"}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    ledger = Ledger(args.ledger)
    port.send(_BOOT_NOISE)
    board.hello()
    _run(board, port, ledger, args)


def _run(board: Board, port: Port, ledger: Ledger, args: argparse.Namespace) -> None:
    wake_r, wake_w = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(wake_w, b"x"))
    ends = [wake_r, *([sys.stdin.fileno()] if args.stdin_lease else [])]
    due, n = time.monotonic(), 0
    names = [name for name, *_ in SENSORS]
    while True:
        wait_s = max(0.0, min(due - time.monotonic(), args.resend_ms / 2000))
        readable, _, _ = select.select([*ends, *port.fds()], [], [], wait_s)
        for fd in readable:
            if fd in ends and (fd == wake_r or os.read(fd, 4096) == b""):
                return
        board.feed(port.take())
        board.tick()
        if time.monotonic() >= due:
            due += 1.0 / args.hz
            if not args.count or n < args.count:
                values = values_at(n)
                ledger.values(args.device, time.time_ns(), dict(zip(names, values, strict=True)))
                board.sample(values)
                n += 1


if __name__ == "__main__":
    main()
