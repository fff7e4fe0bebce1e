"""One MQTT connection on the event loop. Whoever opens it decides what is said; nothing is acknowledged by itself.

A client of our own and not paho's where many messages come in: paho reads every packet with three calls of the kernel
or more and writes each acknowledgement with one, which is most of what a message costs. This one reads and answers
what came together at once.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tocsin.errors import CodecError
from tocsin.mqtt import packets
from tocsin.mqtt.packets import Connack, Level, Packet, Publish

UNSUPPORTED_VERSION = (1, 132)  # MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2
_REASONS = {
    1: "the protocol version is not spoken", 2: "the client id is refused", 3: "the server is not available",
    4: "bad user name or password", 5: "not authorised", 132: "the protocol version is not spoken",
    133: "the client id is refused", 134: "bad user name or password", 135: "not authorised",
    136: "the server is not available", 137: "the server is busy", 138: "banned", 141: "keep-alive timed out",
    142: "another client took our client_id", 143: "the topic filter is refused", 151: "over quota",
    158: "shared subscriptions are not supported",
}  # fmt: skip
_T = TypeVar("_T")
_STOP_S = 0.5


class Connection(asyncio.Protocol):
    """`dial` it once, wait for `connected` and later for `ended`, `close` it.

    `on_messages` is called with what came together, `on_answer` with every other packet but CONNACK and DISCONNECT.
    """

    def __init__(
        self,
        level: Level,
        max_payload_bytes: int,
        on_messages: Callable[[list[Publish]], None],
        on_answer: Callable[[Packet], None],
    ) -> None:
        self._on_messages, self._on_answer = on_messages, on_answer
        self._reader = packets.Reader(level, max_payload_bytes)
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[Connack] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._beating: asyncio.Task[None] | None = None
        self._paused = False
        self._heard_s = time.monotonic()
        self._gone = asyncio.Event()

    async def dial(
        self, host: str, port: int, tls: ssl.SSLContext | None, connect: bytes, timeout_s: float
    ) -> None:
        """Open the socket and send the CONNECT packet.

        Raises:
            OSError: not reachable, or the certificate does not fit.
            TimeoutError: no answer to that for `timeout_s`.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            self._transport, _ = await loop.create_connection(lambda: self, host, port, ssl=tls)
        self.send(connect)

    def beat(self, keepalive_s: int) -> None:
        """From now on show that we live, and end the connection when nothing comes back."""
        self._beating = asyncio.create_task(self._beat(keepalive_s), name="mqtt-keepalive")

    def send(self, data: bytes) -> None:
        """Bytes of whole packets, if the connection stands."""
        if data and self._transport is not None and not self.ended.done():
            self._transport.write(data)

    @property
    def unsent_bytes(self) -> int:
        """What the socket has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def paused(self) -> bool:
        """Whether nothing is read."""
        return self._paused

    def pause(self) -> None:
        """Read no more until `resume`."""
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and self._paused:
            self._paused, self._heard_s = False, time.monotonic()
            self._transport.resume_reading()

    async def either(self, awaited: asyncio.Future[_T], limit_s: float) -> _T | None:
        """What is awaited; None if the connection ended before it came. A resumed session's messages may come first.

        Raises:
            TimeoutError: nothing at all came for `limit_s`.
        """
        both: set[asyncio.Future[Any]] = {awaited, self.ended}
        while True:
            done, _ = await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return awaited.result() if awaited.done() else None
            if not self._paused and time.monotonic() - self._heard_s >= limit_s:
                raise TimeoutError

    async def close(self) -> None:
        """Leave; the session and what it holds stay at the broker."""
        self.send(packets.DISCONNECT)
        self._end("closed")
        if self._beating is not None:
            self._beating.cancel()
        if self._transport is not None:
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._gone.wait()
            except TimeoutError:
                self._transport.abort()  # of one over TLS that is gone Python 3.11.2 raises an AttributeError

    def data_received(self, data: bytes) -> None:
        self._heard_s = time.monotonic()
        try:
            found = self._reader.feed(data)
        except CodecError as exc:
            self._end(exc.message)
            return
        messages = [packet for packet in found if type(packet) is Publish]
        if len(messages) < len(found):
            self._control(found)
        if messages:
            self._on_messages(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self._end(str(exc) if exc else "the broker hung up")

    def _control(self, found: Sequence[Packet]) -> None:
        for packet in found:
            match packet:
                case Publish():
                    pass
                case Connack():
                    if not self.connected.done():
                        self.connected.set_result(packet)
                case packets.Disconnect():
                    self._end(reason(packet.code))
                case _:
                    self._on_answer(packet)

    async def _beat(self, keepalive_s: int) -> None:
        while not self.ended.done():
            self.send(packets.PINGREQ)
            await asyncio.sleep(keepalive_s / 2)
            if not self._paused and time.monotonic() - self._heard_s > 1.5 * keepalive_s:
                self._end("the broker does not answer")

    def _end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)
        if self._transport is not None:
            self._transport.close()


def reason(code: int) -> str:
    """A reason code of a server, in words."""
    return f"{_REASONS.get(code, 'refused')} (code {code})"
