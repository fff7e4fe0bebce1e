"""One MQTT connection on the event loop; a message is acknowledged when `ack` says so, and no earlier.

A client of its own and not paho's: that reads every packet with three calls of the kernel or more and writes each
acknowledgement with one, which is most of what a message costs here. This one reads and answers what came together at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from edge.drivers.mqtt_in.config import MqttInConfig
from edge.drivers.mqtt_in.topics import TopicFilter
from edge.tls import tls_context
from firmware_bridges.mqtt import packets
from firmware_bridges.mqtt.packets import Connack, Level, Publish, Suback
from tocsin.errors import CodecError, DriverReason, LinkError
from tocsin.sdk import Clock

_UNSUPPORTED_VERSION = (1, 132)  # MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2
_REASONS = {
    2: "the client id is refused", 3: "the server is not available", 4: "bad user name or password",
    5: "not authorised", 133: "the client id is refused", 134: "bad user name or password",
    135: "not authorised", 136: "the server is not available", 137: "the server is busy", 138: "banned",
    141: "keep-alive timed out", 142: "another client took our client_id", 143: "the topic filter is refused",
    151: "over quota",
}  # fmt: skip
_T = TypeVar("_T")
_PROBE_S = 2.0
_STOP_S = 0.5
_SUBSCRIBE_ID = 1


class Burst(NamedTuple):
    """Messages in hand that came together, and the connection they came by."""

    link: Link
    messages: Sequence[Publish]
    size: int  # bytes of all payloads
    received_ns: int


class Inbox:
    """What is in hand: waiting, or taken and not yet released. Bounded; links keep what has no room and read no more.

    `full` is told each time that this happens.
    """

    def __init__(
        self, limit: int, limit_bytes: int, clock: Clock, full: Callable[[], None]
    ) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._clock, self._full = clock, full
        self._waiting: deque[Burst] = deque()
        self._held = self._held_bytes = 0
        self._any = asyncio.Event()
        self._closed = False
        self._stopped: list[Link] = []

    def put(self, link: Link, messages: Sequence[Publish]) -> int:
        """How many of them were taken. Where they are not all, the link is told once there is room."""
        room = self._limit - self._held if self._held_bytes < self._limit_bytes else 0
        taken = messages[: max(0, room)]
        if len(taken) < len(messages):
            self._stopped.append(link)
            self._full()
        if taken:
            size = sum(len(message.payload) for message in taken)
            self._held += len(taken)
            self._held_bytes += size
            self._waiting.append(Burst(link, taken, size, self._clock.now_ns()))
            self._any.set()
        return len(taken)

    async def take(self, most: int) -> list[Burst]:
        """Bursts until they are `most` messages or more; waits for the first. Nothing once it is closed."""
        while not self._closed and not self._waiting:
            self._any.clear()
            await self._any.wait()
        return self.more(most)

    def more(self, most: int) -> list[Burst]:
        """Bursts that wait now, until they are `most` messages or more."""
        found: list[Burst] = []
        while self._waiting and most > 0 and not self._closed:
            found.append(self._waiting.popleft())
            most -= len(found[-1].messages)
        return found

    def close(self) -> None:
        """Nothing more is taken; what waits stays unacknowledged."""
        self._closed = True
        self._any.set()

    def release(self, bursts: Sequence[Burst]) -> None:
        """They are no longer in hand."""
        for burst in bursts:
            self._held -= len(burst.messages)
            self._held_bytes -= burst.size
        if self._held <= self._limit // 2 and self._held_bytes <= self._limit_bytes // 2:
            stopped, self._stopped = self._stopped, []
            for link in stopped:
                link.hand_over()


class Link(asyncio.Protocol):
    """One connection: `open` it once, wait for `ended`, `close` it."""

    def __init__(self, config: MqttInConfig, inbox: Inbox, level: Level) -> None:
        self._config, self._inbox, self._level = config, inbox, level
        self._reader = packets.Reader(level, config.max_message_bytes)
        loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[Connack] = loop.create_future()
        self._subscribed: asyncio.Future[bytes] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._beating: asyncio.Task[None] | None = None
        self._surplus: list[Publish] = []  # has come and is not yet in hand
        self._paused = False
        self._heard_s = time.monotonic()
        self._gone = asyncio.Event()

    async def open(self, probing: bool) -> None:
        """Connect and subscribe.

        Raises:
            LinkError: not reachable, not welcome, or the certificate does not fit.
            UnsupportedVersionError: the broker does not speak this version; only while `probing`.
        """
        config = self._config
        limit_s = min(config.connect_timeout_s, _PROBE_S) if probing else config.connect_timeout_s
        refused: list[int] = []
        try:
            await self._dial()
            answer = await self._either(self._connected, limit_s)
            if answer is not None and not answer.code:
                self._subscribe(answer)
                granted = await self._either(self._subscribed, limit_s) or b""
                refused = [code for code in granted if code >= 128]
        except TimeoutError as exc:
            if probing:
                raise UnsupportedVersionError from exc
            raise self._failed("no answer", "is it an MQTT broker? does it want TLS?") from exc
        except (OSError, ValueError) as exc:
            raise self._failed(str(exc), _hint(exc)) from exc
        if answer is None:
            if probing:
                raise UnsupportedVersionError
            raise self._failed(self.ended.result(), "does it want TLS, or a client certificate?")
        if answer.code:
            if probing and answer.code in _UNSUPPORTED_VERSION:
                raise UnsupportedVersionError
            raise self._failed(_reason(answer.code), "check username, password and client_id")
        if refused:
            text = f"the subscription is refused: {_reason(refused[0])}"
            raise self._failed(text, "may this account read the topics?")

    def ack(self, messages: Sequence[Publish]) -> None:
        """A PUBACK for each that wants one; only for messages of this connection."""
        self._send(packets.pubacks([message.mid for message in messages if message.mid]))

    def publish(self, topic: str, payload: bytes) -> None:
        """Send with QoS 0, if the connection stands."""
        self._send(packets.publish(self._level, topic, payload))

    def hand_over(self) -> None:
        """Give the inbox what it has room for; read on once that is all, and not before."""
        if self._transport is None or self.ended.done():
            return  # what is still here comes again on the next connection
        self._surplus = self._surplus[self._inbox.put(self, self._surplus) :]
        if self._surplus and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        elif self._paused and not self._surplus:
            self._paused, self._heard_s = False, time.monotonic()
            self._transport.resume_reading()

    async def close(self) -> None:
        """Leave; the session and what it holds stay at the broker."""
        self._send(packets.DISCONNECT)
        self._end("closed")
        if self._beating is not None:
            self._beating.cancel()
        if self._transport is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await self._gone.wait()
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._heard_s = time.monotonic()
        try:
            found = self._reader.feed(data)
        except CodecError as exc:
            self._end(exc.message)
            return
        for packet in found:
            match packet:
                case Publish():
                    self._surplus.append(packet)
                case Connack() if not self._connected.done():
                    self._connected.set_result(packet)
                case Suback() if not self._subscribed.done():
                    self._subscribed.set_result(packet.codes)
                case packets.Disconnect():
                    self._end(_reason(packet.code))
        if self._surplus:
            self.hand_over()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self._end(str(exc) if exc else "the broker hung up")

    async def _dial(self) -> None:
        config = self._config
        context = await asyncio.to_thread(tls_context, config.tls)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(config.connect_timeout_s):
            self._transport, _ = await loop.create_connection(
                lambda: self, config.host, config.port, ssl=context
            )
        self._send(
            packets.connect(
                self._level,
                config.client_id,
                config.keepalive_s,
                username=config.username,
                password=config.password.reveal() if config.password else None,
                session_expiry_s=config.session_expiry_s,
                receive_maximum=config.in_flight,
            )
        )

    def _subscribe(self, answer: Connack) -> None:
        wanted = [(TopicFilter(s.topic).mqtt, s.qos) for s in self._config.subscriptions]
        self._send(packets.subscribe(self._level, _SUBSCRIBE_ID, wanted))
        keepalive_s = answer.keepalive_s or self._config.keepalive_s
        self._beating = asyncio.create_task(self._beat(keepalive_s), name="mqtt-keepalive")

    async def _beat(self, keepalive_s: int) -> None:
        """Show that we live, and end a connection on which nothing comes back."""
        while not self.ended.done():
            self._send(packets.PINGREQ)
            await asyncio.sleep(keepalive_s / 2)
            if not self._paused and time.monotonic() - self._heard_s > 1.5 * keepalive_s:
                self._end("the broker does not answer")

    async def _either(self, awaited: asyncio.Future[_T], limit_s: float) -> _T | None:
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

    def _send(self, data: bytes) -> None:
        if data and self._transport is not None and not self.ended.done():
            self._transport.write(data)

    def _end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)
        if self._transport is not None:
            self._transport.close()

    def _failed(self, why: str, hint: str) -> LinkError:
        where = f"{self._config.host}:{self._config.port}"
        return LinkError(DriverReason.REFUSED, f"no session with {where}: {why}", hint=hint)


class UnsupportedVersionError(Exception):
    """The broker does not speak the version that was tried."""


def _reason(code: int) -> str:
    return f"{_REASONS.get(code, 'refused')} (code {code})"


def _hint(exc: Exception) -> str:
    if "certificate" in str(exc).lower():
        return "check tls.ca, and that host is the name in the certificate"
    return "is the broker running and reachable from here?"
