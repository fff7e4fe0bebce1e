"""The virtual air monitoring station: `python -m firmware_bridges.hj212.device --connect HOST:PORT --ledger FILE`.

Tells real-time data (2011) and ten-minute values (2051). What is not answered (9014) is sent again; what cannot be sent is
stored and goes out once the link is back. Prints one JSON line when it starts. Ends on SIGTERM, or with `--stdin-lease`
when its stdin closes.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from firmware_bridges.hj212.segment import Segment, parse
from firmware_bridges.hj212.splitter import Splitter
from firmware_bridges.hj212.station import Message, Station
from firmware_bridges.ledger import Ledger
from firmware_bridges.serving import serve_until_told
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
        self._answered: dict[str, asyncio.Future[None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._messages = 0

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._observe())
            tasks.create_task(self._stay_linked())

    async def _observe(self) -> None:
        if self._args.ask_time:
            self._tell(self._station.ask_time(time.time_ns()))
        while True:
            self._messages += 1
            if not self._station.stopped:
                self._tell(self._station.real_time(time.time_ns()))
            if self._messages % self._args.statistics_every == 0:
                self._tell(self._station.statistics(time.time_ns()))
            await asyncio.sleep(self._args.period)

    def _tell(self, message: Message) -> None:
        if message.values:
            self._ledger.values(self._args.device, message.t_ns, message.values)
        self._waiting.append(message)
        self._more.set()

    def _mark(self, mark: str, message: Message | None = None, **facts: str | int) -> None:
        if message is not None:
            facts |= {"cn": message.cn, "qn": message.qn, "of_ns": message.t_ns}
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
            except* (_ClosedError, OSError) as lost:
                self._mark("closed", why=str(lost.exceptions[0]))
            finally:
                self._writer.close()
            await asyncio.sleep(self._args.retry)

    async def _talk(self) -> None:
        while True:
            while self._waiting:
                await self._ask(self._waiting[0])
                self._mark("answered", self._waiting.popleft())
            self._more.clear()
            await self._more.wait()

    async def _ask(self, message: Message) -> None:
        """Send, wait for the answer, send again; too often unanswered means the link is dead."""
        got = self._answered[message.qn] = asyncio.get_running_loop().create_future()
        try:
            for attempt in range(1 + self._args.resend):
                if attempt:
                    self._mark("resent", message)
                self._write(message)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._args.answer_timeout * (attempt + 1)):
                        return await asyncio.shield(got)
        finally:
            del self._answered[message.qn]
        raise _ClosedError(f"{message.cn} was not answered")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        splitter = Splitter()
        while data := await reader.read(4096):
            for item in splitter.feed(data):
                if not isinstance(item, CodecError) and item[0].crc_ok:
                    self._heard(parse(item[0].segment))
        raise _ClosedError("the centre closed the link")

    def _heard(self, told: Segment) -> None:
        cn = told.head.get("CN", "")
        waiting = self._answered.get(told.qn)
        if cn in ("9013", "9014"):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
            return
        self._mark("asked", cn=cn)
        for message in self._station.answer(told, time.time_ns()):
            if message.values:
                self._ledger.values(self._args.device, message.t_ns, message.values)
            self._write(message)

    def _write(self, message: Message) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(b"".join(message.frames))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.hj212.device", description=__doc__
    )
    parser.add_argument("--connect", metavar="HOST:PORT", required=True, help="the centre")
    parser.add_argument("--mn", default="010000A8900016F000169DC0", help="its MN")
    parser.add_argument("--password", default="123456", help="its PW")
    parser.add_argument("--edition", choices=["2005", "2017"], default="2017")
    parser.add_argument("--device", default="air-01", help="id in the ledger")
    parser.add_argument("--period", type=float, default=30.0, help="seconds between 2011")
    parser.add_argument(
        "--statistics-every", type=int, default=20, help="a 2051 follows every n-th 2011"
    )
    parser.add_argument("--part-factors", type=int, default=0, help="factors in one part; 0: whole")
    parser.add_argument("--modbus-crc", action="store_true", help="a vendor's wrong CRC")
    parser.add_argument("--ask-time", action="store_true", help="ask for the time (1013)")
    parser.add_argument("--answer-timeout", type=float, default=10.0, help="seconds")
    parser.add_argument(
        "--resend", type=int, default=3, help="times an unanswered message is sent again"
    )
    parser.add_argument("--retry", type=float, default=2.0, help="seconds before connecting again")
    parser.add_argument("--clock-error", type=float, default=0.0, help="seconds its clock is ahead")
    parser.add_argument("--ledger", type=Path, help="append what was told, NDJSON")
    parser.add_argument("--stdin-lease", action="store_true", help="end when stdin closes")
    return parser.parse_args()


async def _main(args: argparse.Namespace) -> None:
    station = Station(
        args.mn,
        password=args.password,
        edition=args.edition,
        clock_error_s=args.clock_error,
        modbus_crc=args.modbus_crc,
        part_factors=args.part_factors,
    )
    site = Site(station, Ledger(args.ledger), args)
    ready = {"device": args.device, "port": args.connect, "family": "hj212"}
    await serve_until_told(site.run(), ready | {"mn": args.mn}, stdin_lease=args.stdin_lease)


def main() -> None:
    """Run until told to end."""
    args = _arguments()
    if args.period < 0.05:
        raise SystemExit("--period must be at least 0.05")
    asyncio.run(_main(args))


if __name__ == "__main__":
    main()
