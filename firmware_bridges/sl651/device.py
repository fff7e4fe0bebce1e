"""The virtual hydrology station: `python -m firmware_bridges.sl651.device --connect HOST:PORT --ledger FILE`.

Tells timed, added and hourly reports and keeps the link alive. What is not answered is sent again; what cannot be sent
is stored and goes out once the link is back. Prints one JSON line when it starts. Ends on SIGTERM, or with
`--stdin-lease` when its stdin closes.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from firmware_bridges.ledger import Ledger
from firmware_bridges.serving import serve_until_told
from firmware_bridges.sl651.body import parse
from firmware_bridges.sl651.frames import ENQ, EOT, NAK, Frame
from firmware_bridges.sl651.splitter import Splitter
from firmware_bridges.sl651.station import Message, Station
from tocsin.errors import CodecError

_STORED = 10_000


class _ClosedError(Exception):
    """The link is gone, or the centre did not answer."""


class Site:
    """Runs one station over one link after the other."""

    def __init__(self, station: Station, ledger: Ledger, args: argparse.Namespace) -> None:
        self._station, self._ledger, self._args = station, ledger, args
        self._waiting: deque[Message] = deque(maxlen=_STORED)
        self._more = asyncio.Event()
        self._answered: dict[tuple[int, int], asyncio.Future[None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reports = 0

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._observe())
            tasks.create_task(self._stay_linked())

    async def _observe(self) -> None:
        while True:
            self._reports += 1
            function = 0x33 if self._reports % self._args.tip_every == 0 else 0x32
            self._tell(self._station.measure(time.time_ns(), function=function))
            if self._reports % self._args.hourly_every == 0:
                self._tell(self._station.hourly(time.time_ns()))
            if self._reports == 1 and self._args.picture_bytes:
                size, part = self._args.picture_bytes, self._args.part_bytes
                self._tell(self._station.picture(time.time_ns(), size, part))
            await asyncio.sleep(self._args.period)

    def _tell(self, message: Message) -> None:
        for row in message.rows:
            self._ledger.values(self._args.device, row.t_ns, row.values)
        self._waiting.append(message)
        self._more.set()

    def _mark(self, mark: str, message: Message | None = None, **facts: str | int) -> None:
        if message is not None:
            facts |= {"function": f"{message.function:02X}", "serial": message.serial}
            if message.rows:
                facts["of_ns"] = message.rows[-1].t_ns
        self._ledger.mark(mark, self._args.device, time.time_ns(), **facts)

    async def _stay_linked(self) -> None:
        host, _, port = self._args.connect.rpartition(":")
        while True:
            try:
                reader, self._writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(self._args.retry)
                continue
            self._mark("connected")
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._listen(reader))
                    tasks.create_task(self._talk())
                    tasks.create_task(self._keep_alive())
            except* (_ClosedError, OSError) as lost:
                self._mark("closed", why=str(lost.exceptions[0]))
            finally:
                self._writer.close()
            await asyncio.sleep(self._args.retry)

    async def _keep_alive(self) -> None:
        while True:
            self._write(self._station.keepalive(time.time_ns()))
            await asyncio.sleep(self._args.keepalive)

    async def _talk(self) -> None:
        while True:
            while self._waiting:
                await self._ask(self._waiting[0])
                self._mark("answered", self._waiting.popleft())
            self._more.clear()
            await self._more.wait()

    async def _ask(self, message: Message) -> None:
        """Send, wait for the answer, send again; too often unanswered means the link is dead."""
        parted = len(message.frames) > 1
        key = (message.function, 0 if parted else message.serial)
        got = self._answered[key] = asyncio.get_running_loop().create_future()
        try:
            for attempt in range(1 + self._args.resend):
                if attempt:
                    self._mark("resent", message)
                for n, frame in enumerate(message.frames):
                    if attempt or n != 1 or not self._args.lose_part:
                        self._write(frame)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._args.answer_timeout * (attempt + 1)):
                        return await asyncio.shield(got)
        finally:
            del self._answered[key]
        raise _ClosedError(f"{message.function:02X} was not answered")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        splitter = Splitter()
        while data := await reader.read(4096):
            for item in splitter.feed(data):
                if not isinstance(item, CodecError):
                    self._heard(item[0])
        raise _ClosedError("the centre closed the link")

    def _heard(self, frame: Frame) -> None:
        if frame.end == NAK and frame.part is not None:
            self._mark("asked-again", part=frame.part)
            with suppress(IndexError):
                self._write(self._station.sent_parts[frame.part - 1])
        elif frame.end == ENQ:
            answer = self._station.answer(frame, time.time_ns())
            self._mark("asked", function=f"{frame.function:02X}")
            if answer is not None:
                for row in answer.rows:
                    self._ledger.values(self._args.device, row.t_ns, row.values)
                self._write(b"".join(answer.frames))
        else:
            serial = 0 if frame.part is not None else parse(frame.body).serial or 0
            waiting = self._answered.get((frame.function, serial))
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
            if frame.end == EOT and not self._waiting:
                self._mark("told-to-leave")

    def _write(self, data: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.sl651.device", description=__doc__
    )
    parser.add_argument("--connect", metavar="HOST:PORT", required=True, help="the centre")
    parser.add_argument("--station", default="0012345678", help="its address, 10 hex digits")
    parser.add_argument("--password", default="1234", help="4 hex digits")
    parser.add_argument("--device", default="river-01", help="id in the ledger")
    parser.add_argument("--period", type=float, default=300.0, help="seconds between timed reports")
    parser.add_argument("--keepalive", type=float, default=60.0, help="seconds between 2F")
    parser.add_argument(
        "--tip-every", type=int, default=7, help="every n-th report is an added one"
    )
    parser.add_argument(
        "--hourly-every", type=int, default=12, help="an hourly report follows every n-th"
    )
    parser.add_argument("--picture-bytes", type=int, default=0, help="tell a picture of this size")
    parser.add_argument("--part-bytes", type=int, default=1000, help="bytes of one of its parts")
    parser.add_argument("--lose-part", action="store_true", help="lose one part on the way")
    parser.add_argument("--answer-timeout", type=float, default=10.0, help="seconds")
    parser.add_argument(
        "--resend", type=int, default=3, help="times an unanswered report is sent again"
    )
    parser.add_argument("--retry", type=float, default=2.0, help="seconds before connecting again")
    parser.add_argument("--clock-error", type=float, default=0.0, help="seconds its clock is ahead")
    parser.add_argument("--ledger", type=Path, help="append what was told, NDJSON")
    parser.add_argument("--stdin-lease", action="store_true", help="end when stdin closes")
    return parser.parse_args()


async def _main(args: argparse.Namespace) -> None:
    station = Station(
        args.station, password=bytes.fromhex(args.password), clock_error_s=args.clock_error
    )
    site = Site(station, Ledger(args.ledger), args)
    ready = {"device": args.device, "port": args.connect, "family": "sl651"}
    await serve_until_told(
        site.run(), ready | {"station": args.station}, stdin_lease=args.stdin_lease
    )


def main() -> None:
    """Run until told to end."""
    args = _arguments()
    if args.period < 0.05:
        raise SystemExit("--period must be at least 0.05")
    asyncio.run(_main(args))


if __name__ == "__main__":
    main()
