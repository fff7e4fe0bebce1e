"""The session with a broker; a message is acknowledged when `ack` says so, and no earlier. And what is in hand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge.drivers.mqtt_in.config import MqttInConfig
from edge.drivers.mqtt_in.topics import TopicFilter
from edge.tls import tls_context
from tocsin.errors import DriverReason, LinkError
from tocsin.mqtt import packets
from tocsin.mqtt.connection import UNSUPPORTED_VERSION, Connection, reason
from tocsin.mqtt.packets import Connack, Level, Packet, Publish, Suback
from tocsin.sdk import Clock

_PROBE_S = 2.0
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


class Link:
    """One connection: `open` it once, wait for `ended`, `close` it."""

    def __init__(self, config: MqttInConfig, inbox: Inbox, level: Level) -> None:
        self._config, self._inbox, self._level = config, inbox, level
        self._connection = Connection(level, config.max_message_bytes, self._took, self._answered)
        self._subscribed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._surplus: list[Publish] = []  # has come and is not yet in hand

    @property
    def ended(self) -> asyncio.Future[str]:
        """Why it ended, once it has."""
        return self._connection.ended

    async def open(self, probing: bool) -> None:
        """Connect and subscribe.

        Raises:
            LinkError: not reachable, not welcome, or the certificate does not fit.
            UnsupportedVersionError: the broker does not speak this version; only while `probing`.
        """
        config, connection = self._config, self._connection
        limit_s = min(config.connect_timeout_s, _PROBE_S) if probing else config.connect_timeout_s
        refused: list[int] = []
        try:
            await self._dial()
            answer = await connection.either(connection.connected, limit_s)
            if answer is not None and not answer.code:
                self._subscribe(answer)
                granted = await connection.either(self._subscribed, limit_s) or b""
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
            if probing and answer.code in UNSUPPORTED_VERSION:
                raise UnsupportedVersionError
            raise self._failed(reason(answer.code), "check username, password and client_id")
        if refused:
            text = f"the subscription is refused: {reason(refused[0])}"
            raise self._failed(text, "may this account read the topics?")

    def ack(self, messages: Sequence[Publish]) -> None:
        """A PUBACK for each that wants one; only for messages of this connection."""
        self._connection.send(packets.pubacks([m.mid for m in messages if m.mid]))

    def publish(self, topic: str, payload: bytes) -> None:
        """Send with QoS 0, if the connection stands."""
        self._connection.send(packets.publish(self._level, topic, payload))

    def hand_over(self) -> None:
        """Give the inbox what it has room for; read on once that is all, and not before."""
        if self.ended.done():
            return  # what is still here comes again on the next connection
        self._surplus = self._surplus[self._inbox.put(self, self._surplus) :]
        if self._surplus:
            self._connection.pause()
        else:
            self._connection.resume()

    async def close(self) -> None:
        """Leave; the session and what it holds stay at the broker."""
        await self._connection.close()

    def _took(self, messages: list[Publish]) -> None:
        self._surplus += messages
        self.hand_over()

    def _answered(self, packet: Packet) -> None:
        if isinstance(packet, Suback) and not self._subscribed.done():
            self._subscribed.set_result(packet.codes)

    async def _dial(self) -> None:
        config = self._config
        context = await asyncio.to_thread(tls_context, config.tls)
        connect = packets.connect(
            self._level,
            config.client_id,
            config.keepalive_s,
            username=config.username,
            password=config.password.reveal() if config.password else None,
            session_expiry_s=config.session_expiry_s,
            receive_maximum=config.in_flight,
        )
        timeout_s = config.connect_timeout_s
        await self._connection.dial(config.host, config.port, context, connect, timeout_s)

    def _subscribe(self, answer: Connack) -> None:
        wanted = [(TopicFilter(s.topic).mqtt, s.qos) for s in self._config.subscriptions]
        self._connection.send(packets.subscribe(self._level, _SUBSCRIBE_ID, wanted))
        self._connection.beat(answer.keepalive_s or self._config.keepalive_s)

    def _failed(self, why: str, hint: str) -> LinkError:
        where = f"{self._config.host}:{self._config.port}"
        return LinkError(DriverReason.REFUSED, f"no session with {where}: {why}", hint=hint)


class UnsupportedVersionError(Exception):
    """The broker does not speak the version that was tried."""


def _hint(exc: Exception) -> str:
    if "certificate" in str(exc).lower():
        return "check tls.ca, and that host is the name in the certificate"
    return "is the broker running and reachable from here?"
