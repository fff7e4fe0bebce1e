"""Pauses that devices need, and connections that lost their step, seen from a server of the test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from firmware_bridges.modbus.frames import TcpFrame, TcpRequests, encode_tcp
from firmware_bridges.modbus.pdu import Registers, encode_answer
from tocsin.testing import wait_until

ONE = {"id": "d1", "unit_id": 1, "profile": "bench-40", "period_s": 0.02}


class Server:
    """Answers every read with 40 registers; `number(connection, transaction)` is the answer's transaction number."""

    def __init__(self, number: Callable[[int, int], int]) -> None:
        self._number = number
        self.opened: list[float] = []
        self.closed = 0
        self.asked: list[
            tuple[float, float]
        ] = []  # when a request came, and when its answer had left

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened.append(time.monotonic())
        connection, requests = len(self.opened), TcpRequests()
        body = encode_answer(Registers(3, tuple(range(40))))
        try:
            while data := await reader.read(4096):
                for frame in requests.feed(data):
                    came = time.monotonic()
                    number = self._number(connection, frame.transaction)
                    writer.write(encode_tcp(TcpFrame(number, frame.unit, body)))
                    self.asked.append((came, time.monotonic()))
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            pass  # the driver went while its answer was on the way
        finally:
            self.closed += 1


@asynccontextmanager
async def _serving(server: Server) -> AsyncIterator[str]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listener:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        await wait_until(lambda: server.closed == len(server.opened))


async def test_a_request_waits_after_the_answer_before_it(
    heard: Any, config: Any, running: Any
) -> None:
    server = Server(lambda _, number: number)
    async with _serving(server) as port, running(config(port, ONE, inter_frame_s=0.05), heard):
        await wait_until(lambda: len(heard.good("d1")) >= 4)
    pauses = [b[0] - a[1] for a, b in zip(server.asked, server.asked[1:], strict=False)]
    assert min(pauses) >= 0.049


async def test_the_first_request_waits_after_the_port_was_opened(
    heard: Any, config: Any, running: Any
) -> None:
    server = Server(lambda _, number: number)
    async with _serving(server) as port, running(config(port, ONE, post_connect_s=0.2), heard):
        await wait_until(lambda: heard.good("d1"))
    assert server.asked[0][0] - server.opened[0] >= 0.199


async def test_an_answer_with_a_number_never_asked_for_opens_the_connection_anew(
    heard: Any, config: Any, running: Any
) -> None:
    server = Server(lambda connection, number: number + 500 * (connection == 1 and number > 3))
    async with _serving(server) as port, running(config(port, ONE), heard):
        await wait_until(lambda: len(heard.good("d1")) >= 6)
        assert len(server.opened) == 2
    assert heard.counts["garbage"] == 1
    assert heard.of("d1") == ["available"]


async def test_a_connection_whose_answers_lag_behind_is_opened_anew(
    heard: Any, config: Any, running: Any
) -> None:
    server = Server(lambda connection, number: number - (connection == 1))
    async with _serving(server) as port, running(config(port, ONE, timeout_s=0.1), heard):
        await wait_until(lambda: len(heard.good("d1")) >= 3)
        assert len(server.opened) == 2
    assert heard.counts["late-answer"] >= 1
