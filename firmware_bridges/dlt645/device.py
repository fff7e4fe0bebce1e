"""Virtual electricity meters on one line: `python -m firmware_bridges.dlt645.device --meter ADDRESS[:NAME] ...`.

The line is a pseudo-terminal (`--link` gives it a name), or a TCP listener (`--tcp HOST:PORT`) like a serial device
server. Prints one JSON line with the port when it is open. Ends on SIGTERM, or with `--stdin-lease` when its stdin closes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from firmware_bridges.dlt645.frames import Frame, encode_frame
from firmware_bridges.dlt645.meter import Meter
from firmware_bridges.dlt645.splitter import Splitter
from firmware_bridges.ledger import Ledger
from firmware_bridges.serving import serve_until_told

Write = Callable[[bytes], None]


class Meters:
    """The meters of one line. What they are to spoil stands in the arguments."""

    def __init__(self, args: argparse.Namespace, ledger: Ledger) -> None:
        self._args, self._ledger = args, ledger
        self._start_s = time.monotonic()
        self._asked = 0
        self.names: dict[str, str] = {}
        self._meters: list[Meter] = []
        for number, text in enumerate(args.meter):
            address, _, name = text.partition(":")
            meter = Meter(address, seed=number, part_bytes=args.part_bytes)
            self._meters.append(meter)
            self.names[meter.address] = name or meter.address

    async def heard(self, data: bytes, splitter: Splitter, write: Write) -> None:
        """Answer every request in `data`."""
        for item in splitter.feed(data):
            if isinstance(item, Frame) and not item.from_slave:
                if self._args.echo:
                    write(encode_frame(item))
                for meter in self._meters:
                    await self._answer(meter, item, write)

    async def _answer(self, meter: Meter, request: Frame, write: Write) -> None:
        answer = meter.answer(request, time.monotonic() - self._start_s)
        if answer is None:
            return
        name = self.names[meter.address]
        self._asked += 1
        data = encode_frame(answer.frame)
        if self._args.spoil and self._asked % self._args.spoil == 0:
            self._ledger.mark("spoilt", name, time.time_ns())
            data = data[:-2] + bytes((data[-2] ^ 0x55,)) + data[-1:]
        elif answer.values:
            self._ledger.values(name, time.time_ns(), answer.values)
        await asyncio.sleep(self._args.delay)
        middle = len(data) // 2
        write(data[:middle])
        await asyncio.sleep(0.005)
        write(data[middle:])


async def _serve_tcp(meters: Meters, where: str) -> tuple[str, asyncio.Server]:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        splitter = Splitter()
        with suppress(OSError):
            while data := await reader.read(4096):
                await meters.heard(data, splitter, writer.write)
        writer.close()

    host, _, port = where.rpartition(":")
    server = await asyncio.start_server(client, host, int(port))
    return f"{host}:{server.sockets[0].getsockname()[1]}", server


async def _serve_line(meters: Meters, master: int) -> None:
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[bytes] = asyncio.Queue(64)

    def ready() -> None:
        with suppress(BlockingIOError, asyncio.QueueFull):
            heard.put_nowait(os.read(master, 4096))

    def write(data: bytes) -> None:
        with suppress(BlockingIOError):  # nobody reads: a serial line loses the bytes too
            os.write(master, data)

    loop.add_reader(master, ready)
    splitter = Splitter()
    try:
        while True:
            await meters.heard(await heard.get(), splitter, write)
    finally:
        loop.remove_reader(master)


def _open_line(link: Path | None) -> tuple[str, int, int]:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    path = os.ttyname(slave)
    if link is not None:
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    return str(link or path), master, slave


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.dlt645.device", description=__doc__
    )
    parser.add_argument(
        "--meter",
        action="append",
        required=True,
        metavar="ADDRESS[:NAME]",
        help="a meter on the line",
    )
    parser.add_argument("--tcp", metavar="HOST:PORT", help="listen instead of a pseudo-terminal")
    parser.add_argument("--link", type=Path, help="symbolic link to the pseudo-terminal")
    parser.add_argument("--delay", type=float, default=0.02, help="seconds before an answer")
    parser.add_argument("--part-bytes", type=int, default=192, help="most data bytes of one frame")
    parser.add_argument(
        "--spoil", type=int, default=0, help="every so many answers has a wrong sum"
    )
    parser.add_argument("--echo", action="store_true", help="the adapter hears itself")
    parser.add_argument("--ledger", type=Path, help="append what was told, NDJSON")
    parser.add_argument("--stdin-lease", action="store_true", help="end when stdin closes")
    return parser.parse_args()


async def _main(args: argparse.Namespace) -> None:
    meters = Meters(args, Ledger(args.ledger))
    server = None
    if args.tcp:
        port, server = await _serve_tcp(meters, args.tcp)
        serving = server.serve_forever()
    else:
        port, master, _slave = _open_line(args.link)
        serving = _serve_line(meters, master)
    names = list(meters.names.values())
    ready = {"device": names[0], "devices": names, "port": port, "family": "dlt645"}
    await serve_until_told(serving, ready, stdin_lease=args.stdin_lease)


def main() -> None:
    """Run until told to end."""
    asyncio.run(_main(_arguments()))


if __name__ == "__main__":
    main()
