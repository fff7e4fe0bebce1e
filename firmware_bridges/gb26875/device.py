"""The virtual transmitter of a building: `python -m firmware_bridges.gb26875.device --connect HOST:PORT --ledger FILE`.

Reports a hydrant's pressure and its own state, a detector's and a panel's fire when told to. One message is under way at a
time: what is not confirmed is sent again, and after that on a new link; what cannot be sent waits in order. Prints one
JSON line when it starts. Ends on SIGTERM, or with `--stdin-lease` when its stdin closes.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from firmware_bridges.gb26875.frames import Command, Frame, encode_frame
from firmware_bridges.gb26875.splitter import Splitter
from firmware_bridges.gb26875.transmitter import Message, Transmitter
from firmware_bridges.ledger import Ledger
from firmware_bridges.serving import serve_until_told

_KEPT = 10_000


class _ClosedError(Exception):
    """The link is gone, or the centre did not confirm."""


class Site:
    """Runs one transmitter over one link after the other."""

    def __init__(self, transmitter: Transmitter, ledger: Ledger, args: argparse.Namespace) -> None:
        self._transmitter, self._ledger, self._args = transmitter, ledger, args
        self._start_s = time.monotonic()
        self._waiting: deque[Message] = deque(maxlen=_KEPT)
        self._more = asyncio.Event()
        self._frame: Frame | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._answered: asyncio.Future[int] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._live())
            tasks.create_task(self._stay_linked())

    def _tell(self, *messages: Message) -> None:
        for message in messages:
            self._ledger.values(self._args.device, message.t_ns, message.values)
            self._waiting.append(message)
        self._more.set()

    async def _live(self) -> None:
        args, transmitter = self._args, self._transmitter
        beat_s = fired = reset = 0.0
        while True:
            elapsed_s, now_ns = time.monotonic() - self._start_s, time.time_ns()
            if elapsed_s >= beat_s:
                beat_s = elapsed_s + args.heartbeat
                self._tell(transmitter.status(now_ns))
            self._tell(transmitter.pressure(now_ns, elapsed_s))
            if args.fire_after is not None and elapsed_s >= args.fire_after and not fired:
                fired, transmitter.fire = elapsed_s, True
                self._tell(transmitter.detector(now_ns), transmitter.panel(now_ns))
                self._ledger.mark("fire", args.device, now_ns)
            if fired and not reset and elapsed_s >= fired + args.fire_for:
                reset = elapsed_s
                self._tell(transmitter.reset(now_ns), transmitter.panel(now_ns))
                self._ledger.mark("reset", args.device, now_ns)
            await asyncio.sleep(args.period)

    async def _stay_linked(self) -> None:
        host, _, port = self._args.connect.rpartition(":")
        while True:
            try:
                reader, self._writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(self._args.retry)
                continue
            self._mark("linked")
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
            while not self._waiting:
                self._more.clear()
                await self._more.wait()
            message = self._waiting[0]
            if self._frame is None:
                self._frame = self._transmitter.frame(Command.DATA, message.app)
            answer = await self._ask(self._frame)
            self._frame = None
            self._waiting.popleft()
            name = "confirmed" if answer == Command.CONFIRM else "denied"
            self._mark(name, of_ns=message.t_ns)

    async def _ask(self, frame: Frame) -> int:
        assert self._writer is not None  # noqa: S101 - there is a link while this runs
        for attempt in range(1 + self._args.resend):
            if attempt:
                self._mark("resent", serial=frame.serial)
            self._answered = asyncio.get_running_loop().create_future()
            self._writer.write(encode_frame(frame))
            await self._writer.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._args.answer_timeout):
                    return await self._answered
        raise _ClosedError(f"serial {frame.serial} was not confirmed")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        splitter = Splitter()
        while data := await reader.read(4096):
            for item in splitter.feed(data):
                if isinstance(item, Frame):
                    self._heard(item)
        raise _ClosedError("the centre closed the link")

    def _heard(self, frame: Frame) -> None:
        assert self._writer is not None  # noqa: S101 - there is a link while this runs
        mine = self._frame
        if frame.command in (Command.CONFIRM, Command.DENY):
            ours = mine is not None and frame.serial == mine.serial
            if ours and self._answered is not None and not self._answered.done():
                self._answered.set_result(frame.command)
            return
        answer = self._transmitter.answer(frame, time.time_ns())
        if answer is not None:
            self._mark("command", type=frame.app[0] if frame.app else None)
            self._writer.write(encode_frame(answer))
        self._tell(*self._transmitter.told)
        self._transmitter.told.clear()

    def _mark(self, mark: str, **details: str | int | None) -> None:
        self._ledger.mark(mark, self._args.device, time.time_ns(), **details)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.gb26875.device", description=__doc__
    )
    parser.add_argument("--connect", metavar="HOST:PORT", required=True, help="the centre")
    parser.add_argument("--address", default="672b00000000", help="its address, 12 hex digits")
    parser.add_argument("--device", default="building-01", help="id in the ledger")
    parser.add_argument("--period", type=float, default=10.0, help="seconds between pressures")
    parser.add_argument("--heartbeat", type=float, default=60.0, help="seconds between own states")
    parser.add_argument("--fire-after", type=float, help="seconds until a detector tells fire")
    parser.add_argument("--fire-for", type=float, default=60.0, help="seconds until the reset")
    parser.add_argument("--answer-timeout", type=float, default=10.0, help="seconds")
    parser.add_argument(
        "--resend", type=int, default=3, help="times an unconfirmed message is sent again"
    )
    parser.add_argument("--retry", type=float, default=2.0, help="seconds before connecting again")
    parser.add_argument("--clock-error", type=float, default=0.0, help="seconds its clock is ahead")
    parser.add_argument("--ledger", type=Path, help="append what was told, NDJSON")
    parser.add_argument("--stdin-lease", action="store_true", help="end when stdin closes")
    return parser.parse_args()


async def _main(args: argparse.Namespace) -> None:
    transmitter = Transmitter(
        bytes.fromhex(args.address),
        clock_error_s=args.clock_error,
        serial=time.time_ns() // 10**9 & 0xFFFF,
    )
    site = Site(transmitter, Ledger(args.ledger), args)
    ready = {
        "device": args.device,
        "port": args.connect,
        "family": "gb26875",
        "address": args.address,
    }
    await serve_until_told(site.run(), ready, stdin_lease=args.stdin_lease)


def main() -> None:
    """Run until told to end."""
    args = _arguments()
    if args.period < 0.05:
        raise SystemExit("--period must be at least 0.05")
    asyncio.run(_main(args))


if __name__ == "__main__":
    main()
