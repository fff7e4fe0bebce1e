"""The virtual GNSS receiver: `python -m firmware_bridges.nmea.device --tcp 127.0.0.1:0 --ledger FILE`.

Prints one JSON line when ready. While someone has its port open it drives the loop and sends RMC, GGA, GSA and VTG
each period. Ends on SIGTERM, or with `--stdin-lease` when its stdin closes.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from firmware_bridges.nmea.encode import Burst, Position, burst
from firmware_bridges.nmea.ports import Port, PseudoTerminal, TcpListener
from firmware_bridges.nmea.route import Loop

_SETTLE_S = (
    0.3  # a client flushes its input when it opens a serial port; the first period waits for that
)


class Fault(StrEnum):
    """What goes wrong between `--fault-from` and `--fault-until`."""

    NONE = "none"
    SILENT = "silent"
    NO_FIX = "no-fix"
    GARBAGE = "garbage"
    BAD_CHECKSUM = "bad-checksum"
    HALF = "half"
    JUMP = "jump"
    OLD_DATE = "old-date"


class Ledger:
    """One NDJSON line per period, on disk before its sentences leave."""

    def __init__(self, path: Path | None, device: str) -> None:
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path else None
        self._device = device

    def sent(self, period: Burst) -> None:
        """What the sentences of `period` say."""
        self._line({"device": self._device, "t_ns": period.time_ns, "values": period.values})

    def mark(self, mark: str, t_ns: int) -> None:
        """Something other than a period: `not-sent` (takes the entry with the same t_ns back), `fault-*`."""
        self._line({"mark": mark, "device": self._device, "t_ns": t_ns})

    def _line(self, entry: dict[str, object]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()


class Receiver:
    """Makes and sends one period after the other."""

    def __init__(
        self, port: Port, ledger: Ledger, fault: Fault, fault_s: tuple[float, float]
    ) -> None:
        self._port, self._ledger, self._loop = port, ledger, Loop()
        self._fault, self._fault_s = fault, fault_s
        self._start_s: float | None = None
        self._open_s: float | None = None

    def period(self, mono_s: float, wall_ns: int) -> None:
        """One period; nothing while nobody listens."""
        if self._port.listeners() == 0:
            self._open_s = None
            return
        if self._open_s is None:
            self._open_s = mono_s
        if mono_s - self._open_s < _SETTLE_S:
            return
        if self._start_s is None:
            self._start_s = mono_s
        elapsed_s = mono_s - self._start_s
        active = self._fault_s[0] <= elapsed_s < self._fault_s[1]
        self._send(self._fault if active else Fault.NONE, elapsed_s, wall_ns)

    def _send(self, fault: Fault, elapsed_s: float, wall_ns: int) -> None:
        here: Position | None = self._loop.at(elapsed_s)
        if fault is Fault.NO_FIX:
            here = None
        elif fault is Fault.JUMP and here is not None:
            here = Position(here.lat + 1.0, here.lon, here.alt, here.speed, here.course)
        elif fault is Fault.OLD_DATE:
            wall_ns -= 1024 * 7 * 86_400 * 1_000_000_000
        made = burst(wall_ns, here)
        data = "".join(made.sentences).encode("ascii")
        if fault in (Fault.SILENT, Fault.GARBAGE, Fault.BAD_CHECKSUM, Fault.HALF):
            self._ledger.mark(f"fault-{fault.value}", made.time_ns)
            self._port.send(_spoilt(fault, made))
            return
        self._ledger.sent(made)
        if not self._port.send(data):
            self._ledger.mark("not-sent", made.time_ns)


def _spoilt(fault: Fault, made: Burst) -> bytes:
    if fault is Fault.SILENT:
        return b""
    if fault is Fault.GARBAGE:
        return bytes((37 * i + 129) % 256 for i in range(160)) + b"\r\n"
    if fault is Fault.HALF:
        return "".join(s[: len(s) // 2] for s in made.sentences).encode("ascii") + b"\r\n"
    return "".join(
        f"{s[:-4]}{'00' if s[-4:-2] != '00' else '01'}\r\n" for s in made.sentences
    ).encode("ascii")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.nmea.device", description=__doc__
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--tcp", metavar="HOST:PORT", help="listen; port 0 takes any free one")
    where.add_argument("--pty", action="store_true", help="open a pseudo-terminal")
    parser.add_argument("--link", type=Path, help="symlink to the pseudo-terminal")
    parser.add_argument("--device", default="vehicle-01", help="id in the ledger")
    parser.add_argument("--hz", type=float, default=1.0, help="periods a second, up to 20")
    parser.add_argument("--ledger", type=Path, help="append what was sent, NDJSON")
    parser.add_argument("--stdin-lease", action="store_true", help="end when stdin closes")
    parser.add_argument("--fault", type=Fault, choices=list(Fault), default=Fault.NONE)
    parser.add_argument("--fault-from", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--fault-until", type=float, default=float("inf"), metavar="SECONDS")
    return parser.parse_args()


def main() -> None:
    """Run until told to end."""
    args = _arguments()
    if not 0.01 <= args.hz <= 20.0:
        raise SystemExit("--hz must lie between 0.01 and 20")
    port: Port
    if args.tcp:
        host, _, number = args.tcp.rpartition(":")
        port = TcpListener(host or "127.0.0.1", int(number))
    else:
        port = PseudoTerminal(args.link)
    receiver = Receiver(
        port, Ledger(args.ledger, args.device), args.fault, (args.fault_from, args.fault_until)
    )
    wake_r, wake_w = os.pipe()
    for number_of in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number_of, lambda *_: os.write(wake_w, b"x"))
    watched = [wake_r, *([sys.stdin.fileno()] if args.stdin_lease else [])]
    ready = {
        "ready": True,
        "device": args.device,
        "port": port.name,
        "family": "nmea",
        "hz": args.hz,
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    try:
        _run(receiver, 1.0 / args.hz, watched)
    finally:
        port.close()


def _run(receiver: Receiver, period_s: float, watched: list[int]) -> None:
    due = time.monotonic()
    while True:
        readable, _, _ = select.select(watched, [], [], max(0.0, due - time.monotonic()))
        for fd in readable:
            if fd == watched[0] or os.read(fd, 4096) == b"":
                return
        now = time.monotonic()
        if now >= due:
            receiver.period(now, time.time_ns())
            # A receiver that was held up goes on with its next period; it never tells one time twice.
            due = due + period_s if due + period_s / 2 > now else now + period_s


if __name__ == "__main__":
    main()
