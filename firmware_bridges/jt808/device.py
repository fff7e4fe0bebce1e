"""The virtual vehicle terminal: `python -m firmware_bridges.jt808.device --connect HOST:PORT --ledger FILE`.

Registers, authenticates, keeps the link alive and reports positions along a loop. What is not answered is sent again;
what cannot be sent is stored and goes out as a batch (0x0704) once the link is back. Prints one JSON line when it
starts. Ends on SIGTERM, or with `--stdin-lease` when its stdin closes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from firmware_bridges.jt808.frames import Frame
from firmware_bridges.jt808.messages import Id, RegisterAck, decode_ack, decode_register_ack
from firmware_bridges.jt808.splitter import Splitter
from firmware_bridges.jt808.terminal import Identity, Outgoing, Reported, Terminal
from firmware_bridges.serving import serve_until_told
from tocsin.errors import CodecError


class Ledger:
    """One NDJSON line per position, on disk before it leaves, and marks for what happened to the link."""

    def __init__(self, path: Path | None, device: str) -> None:
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path else None
        self._device = device

    def made(self, one: Reported) -> None:
        """A position the terminal has told or will tell."""
        self._line({"device": self._device, "t_ns": one.time_ns, "values": one.values})

    def mark(self, mark: str, **facts: object) -> None:
        """`registered`, `authenticated`, `answered`, `stored`, `batch`, `resent`, `text`, `closed`, `refused`."""
        self._line({"mark": mark, "device": self._device, "t_ns": time.time_ns(), **facts})

    def _line(self, entry: dict[str, object]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()


class _ClosedError(Exception):
    """The link is gone, or the platform did not answer."""


class Vehicle:
    """Runs one terminal over one link after the other."""

    def __init__(self, terminal: Terminal, ledger: Ledger, args: argparse.Namespace) -> None:
        self._terminal, self._ledger, self._args = terminal, ledger, args
        self._code: str | None = args.auth_code
        self._start_s = time.monotonic()
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[tuple[int, int], asyncio.Future[int | RegisterAck]] = {}
        self._online = False
        self._live: asyncio.Queue[Reported] = asyncio.Queue()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._drive())
            tasks.create_task(self._stay_linked())

    async def _drive(self) -> None:
        while True:
            one = self._terminal.position(
                time.monotonic() - self._start_s, time.time_ns(), fix=not self._args.no_fix
            )
            self._ledger.made(one)
            if self._online:
                self._live.put_nowait(one)
            else:
                self._store(one)
            await asyncio.sleep(self._terminal.report_s or self._args.period)

    def _store(self, *many: Reported) -> None:
        for one in many:
            self._terminal.stored.append(one)
            self._ledger.mark("stored", of_ns=one.time_ns)

    async def _stay_linked(self) -> None:
        host, _, port = self._args.connect.rpartition(":")
        while True:
            try:
                reader, self._writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(self._args.retry)
                continue
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._listen(reader))
                    tasks.create_task(self._talk())
            except* (_ClosedError, OSError) as lost:
                self._ledger.mark("closed", why=str(lost.exceptions[0]))
            finally:
                self._online = False
                self._answers.clear()
                while not self._live.empty():
                    self._store(self._live.get_nowait())
                self._writer.close()
            await asyncio.sleep(self._args.retry)

    async def _talk(self) -> None:
        if self._code is None:
            answer = await self._ask(self._terminal.register())
            if not isinstance(answer, RegisterAck) or answer.result != 0:
                self._ledger.mark("refused", what="registration", answer=str(answer))
                raise _ClosedError("registration refused")
            self._code = answer.auth_code
            self._ledger.mark("registered")
        if await self._ask(self._terminal.auth(self._code)) != 0:
            self._code = None
            self._ledger.mark("refused", what="authentication")
            raise _ClosedError("authentication refused")
        self._ledger.mark("authenticated")
        self._online = True
        while True:
            await self._send_stored()
            try:
                async with asyncio.timeout(self._args.heartbeat):
                    one = await self._live.get()
            except TimeoutError:
                await self._ask(self._terminal.heartbeat())
                continue
            try:
                await self._ask(self._terminal.report(one))
            except BaseException:
                self._store(one)
                raise
            self._ledger.mark("answered", of_ns=[one.time_ns])

    async def _send_stored(self) -> None:
        stored = self._terminal.stored
        while stored:
            many = tuple(stored)[: self._args.batch_max]
            await self._ask(self._terminal.batch(many))
            for _ in many:
                stored.popleft()
            times = [one.time_ns for one in many]
            self._ledger.mark("batch", count=len(many))
            self._ledger.mark("answered", of_ns=times)

    async def _ask(self, message: Outgoing) -> int | RegisterAck:
        """Send, wait for the answer, send again; too often unanswered means the link is dead."""
        assert self._writer is not None  # noqa: S101 - there is a link while this runs
        got: asyncio.Future[int | RegisterAck] = asyncio.get_running_loop().create_future()
        for serial in message.serials:
            self._answers[message.msg_id, serial] = got
        try:
            for attempt in range(1 + self._args.resend):
                if attempt:
                    self._ledger.mark("resent", msg_id=message.msg_id, serial=message.serials[0])
                self._writer.write(b"".join(message.frames))
                await self._writer.drain()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._args.answer_timeout * (attempt + 1)):
                        return await asyncio.shield(got)
        finally:
            for serial in message.serials:
                self._answers.pop((message.msg_id, serial), None)
        raise _ClosedError(f"0x{message.msg_id:04X} was not answered")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        splitter = Splitter()
        while data := await reader.read(4096):
            for item in splitter.feed(data):
                if isinstance(item, Frame):
                    self._heard(item)
        raise _ClosedError("the platform closed the link")

    def _heard(self, frame: Frame) -> None:
        assert self._writer is not None  # noqa: S101 - there is a link while this runs
        with suppress(CodecError):
            if frame.header.msg_id == Id.REGISTER_ACK:
                answer = decode_register_ack(frame.body)
                self._settle(Id.REGISTER, answer.serial, answer)
            elif frame.header.msg_id == Id.PLATFORM_ACK:
                ack = decode_ack(frame.body)
                self._settle(ack.msg_id, ack.serial, ack.result)
        texts = len(self._terminal.texts)
        for message in self._terminal.answer(frame):
            self._writer.write(b"".join(message.frames))
        for text in self._terminal.texts[texts:]:
            self._ledger.mark("text", text=text)

    def _settle(self, msg_id: int, serial: int, value: int | RegisterAck) -> None:
        waiting = self._answers.get((msg_id, serial))
        if waiting is not None and not waiting.done():
            waiting.set_result(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.jt808.device", description=__doc__
    )
    parser.add_argument("--connect", metavar="HOST:PORT", required=True, help="the platform")
    parser.add_argument("--phone", default="013800138000", help="12 digits, or 20 in 2019")
    parser.add_argument("--edition", choices=["2011", "2013", "2019"], default="2013")
    parser.add_argument("--device", default="vehicle-01", help="id in the ledger")
    parser.add_argument("--auth-code", help="skip the registration")
    parser.add_argument("--period", type=float, default=10.0, help="seconds between positions")
    parser.add_argument("--heartbeat", type=float, default=30.0, help="seconds of silence")
    parser.add_argument("--answer-timeout", type=float, default=5.0, help="seconds")
    parser.add_argument(
        "--resend", type=int, default=3, help="times an unanswered message is sent again"
    )
    parser.add_argument("--retry", type=float, default=2.0, help="seconds before connecting again")
    parser.add_argument("--batch-max", type=int, default=50, help="positions in one 0x0704")
    parser.add_argument(
        "--part-bytes", type=int, default=1000, help="longest body before it is split"
    )
    parser.add_argument("--clock-error", type=float, default=0.0, help="seconds its clock is ahead")
    parser.add_argument(
        "--no-fix", action="store_true", help="report old coordinates without a fix"
    )
    parser.add_argument("--ledger", type=Path, help="append what was told, NDJSON")
    parser.add_argument("--stdin-lease", action="store_true", help="end when stdin closes")
    return parser.parse_args()


async def _main(args: argparse.Namespace) -> None:
    terminal = Terminal(
        Identity(args.phone, args.edition),
        clock_error_s=args.clock_error,
        part_bytes=args.part_bytes,
    )
    vehicle = Vehicle(terminal, Ledger(args.ledger, args.device), args)
    ready = {
        "device": args.device,
        "port": args.connect,
        "family": "jt808",
        "phone": args.phone,
    }
    await serve_until_told(vehicle.run(), ready, stdin_lease=args.stdin_lease)


def main() -> None:
    """Run until told to end."""
    args = _arguments()
    if args.period < 0.05:
        raise SystemExit("--period must be at least 0.05")
    asyncio.run(_main(args))


if __name__ == "__main__":
    main()
