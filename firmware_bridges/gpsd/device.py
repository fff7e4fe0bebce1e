"""The virtual gpsd: `python -m firmware_bridges.gpsd.device --tcp 127.0.0.1:2947 --ledger FILE`.

Greets with VERSION, answers `?WATCH` with DEVICES and WATCH, and then reports SKY and TPV of a vehicle on a loop, as gpsd 3.22 writes
them. Prints one JSON line when ready. Ends on SIGTERM, or with `--stdin-lease` when its stdin closes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firmware_bridges.ledger import Ledger
from firmware_bridges.nmea.route import Loop
from firmware_bridges.serving import serve_until_told

_RECEIVER = "/dev/ttyACM0"
_VERSION = {"class": "VERSION", "release": "3.22", "rev": "3.22", "proto_major": 3, "proto_minor": 14}  # fmt: skip


class VirtualGpsd:
    """One receiver, any number of clients."""

    def __init__(self, args: argparse.Namespace, ledger: Ledger) -> None:
        self._args, self._ledger = args, ledger
        self._loop, self._start_s = Loop(), time.monotonic()
        self._watchers: set[asyncio.StreamWriter] = set()

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greets, waits for `?WATCH`, and forgets whoever goes."""
        _say(writer, _VERSION)
        with suppress(OSError, ValueError):
            while line := await reader.readline():
                if line.startswith(b"?WATCH="):
                    receivers = [{"class": "DEVICE", "path": _RECEIVER, "driver": "NMEA0183"}]
                    _say(writer, {"class": "DEVICES", "devices": receivers})
                    _say(writer, {"class": "WATCH", "enable": True, "json": True})
                    self._watchers.add(writer)
                else:
                    _say(writer, {"class": "ERROR", "message": "Unrecognized request"})
        self._watchers.discard(writer)
        writer.close()

    async def report(self) -> None:
        """Until cancelled."""
        while True:
            if self._watchers:
                self._position()
            await asyncio.sleep(1 / self._args.hz)

    def _position(self) -> None:
        now_ns = (time.time_ns() + int(self._args.clock_error * 1e9)) // 1_000_000 * 1_000_000
        here = self._loop.at(time.monotonic() - self._start_s)
        at = datetime.fromtimestamp(now_ns // 10**9, UTC).replace(
            microsecond=now_ns % 10**9 // 1000
        )
        told: dict[str, Any] = {"lat": here.lat, "lon": here.lon, "altMSL": here.alt, "speed": here.speed, "track": here.course}  # fmt: skip
        where = {} if self._args.no_fix else {name: round(v, 9) for name, v in told.items()}
        mode = 1 if self._args.no_fix else 3
        time_text = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        used = 0 if self._args.no_fix else 11
        sky = {"class": "SKY", "device": _RECEIVER, "hdop": 0.9, "nSat": 14, "uSat": used}
        fix = {"class": "TPV", "device": _RECEIVER, "mode": mode, "time": time_text, **where}
        names = {"lat": "lat", "lon": "lon", "alt": "altMSL", "speed": "speed", "course": "track"}
        values = {ours: where.get(theirs) for ours, theirs in names.items()}
        self._ledger.values(self._args.device, now_ns, {**values, "fix": mode if where else 0})
        for writer in self._watchers:
            _say(writer, sky)
            _say(writer, fix)


def _say(writer: asyncio.StreamWriter, report: dict[str, Any]) -> None:
    writer.write(json.dumps(report, separators=(",", ":")).encode() + b"\r\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.gpsd.device", description=__doc__
    )
    parser.add_argument("--tcp", metavar="HOST:PORT", default="127.0.0.1:0", help="listen here")
    parser.add_argument("--device", default="boat-01", help="id in the ledger")
    parser.add_argument("--hz", type=float, default=1.0, help="positions a second, up to 20")
    parser.add_argument("--no-fix", action="store_true", help="reports without a fix (mode 1)")
    parser.add_argument("--clock-error", type=float, default=0.0, help="seconds its time is ahead")
    parser.add_argument("--ledger", type=Path, help="append what was told, NDJSON")
    parser.add_argument("--stdin-lease", action="store_true", help="end when stdin closes")
    return parser.parse_args()


async def _main(args: argparse.Namespace) -> None:
    gpsd = VirtualGpsd(args, Ledger(args.ledger))
    host, _, number = args.tcp.rpartition(":")
    server = await asyncio.start_server(gpsd.client, host, int(number))
    port = f"{host}:{server.sockets[0].getsockname()[1]}"
    ready = {"device": args.device, "port": port, "family": "gpsd"}
    await serve_until_told(gpsd.report(), ready, stdin_lease=args.stdin_lease)


def main() -> None:
    """Run until told to end."""
    args = _arguments()
    if not 0 < args.hz <= 20:
        raise SystemExit("--hz must be above 0 and at most 20")
    asyncio.run(_main(args))


if __name__ == "__main__":
    main()
