"""One MQTT connection in paho's own thread; a message is acknowledged when `ack` says so, and no earlier.

The uplink's aiomqtt acknowledges before its user has seen a message, and takes nearly twice the CPU for each.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.drivers.mqtt_in.config import MqttInConfig
from edge.drivers.mqtt_in.topics import TopicFilter
from edge.tls import tls_context
from tocsin.errors import DriverReason, LinkError

_UNSUPPORTED_VERSION = (1, 132)  # MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2
_PROBE_S = 2.0
_STOP_S = 1.0


class Received(msgspec.Struct, frozen=True):
    """One message in hand, and the connection it came by."""

    link: Link
    topic: str
    payload: bytes
    mid: int
    qos: int
    retained: bool
    again: bool  # the broker says that it sends it again


class Inbox:
    """From the network thread to the event loop, bounded; the network thread never waits.

    Full: `put` says no. A message of QoS 1 then stays unacknowledged, and the broker sends it on the next connection.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._waiting: deque[Received] = deque()
        self._held = self._held_bytes = 0  # in hand: waiting, or taken and not yet released
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._any = asyncio.Event()
        self._closed = False

    def put(self, message: Received) -> bool:
        """Whether there was room. From any thread."""
        with self._lock:
            if self._held >= self._limit or self._held_bytes >= self._limit_bytes:
                return False
            self._held += 1
            self._held_bytes += len(message.payload)
            self._waiting.append(message)
            first = len(self._waiting) == 1
        if first:
            with suppress(RuntimeError):  # the loop is closing
                self._loop.call_soon_threadsafe(self._any.set)
        return True

    async def take(self, most: int) -> list[Received]:
        """Up to `most` messages; waits for the first. Nothing once it is closed."""
        while not self._closed:
            if found := self.more(most):
                return found
            await self._any.wait()
        return []

    def more(self, most: int) -> list[Received]:
        """Up to `most` messages that wait now."""
        with self._lock:
            found = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            if not self._waiting and not self._closed:
                self._any.clear()
            return found

    def close(self) -> None:
        """Nothing more is taken; what waits stays unacknowledged."""
        self._closed = True
        self._any.set()

    def release(self, messages: list[Received]) -> None:
        """They are no longer in hand."""
        with self._lock:
            self._held -= len(messages)
            self._held_bytes -= sum(len(m.payload) for m in messages)

    @property
    def empty(self) -> bool:
        """Whether nothing is in hand."""
        with self._lock:
            return self._held == 0


class Link:
    """One connection: `open` it once, wait for `ended`, `close` it."""

    def __init__(self, config: MqttInConfig, inbox: Inbox, version: MQTTProtocolVersion) -> None:
        self._config, self._inbox = config, inbox
        self._v5 = version is MQTTProtocolVersion.MQTTv5
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._subscribed: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self.overflowed = False
        self.dropped = 0  # messages of QoS 0 for which there was no room
        self._client = self._make(version)

    async def open(self, probing: bool) -> None:
        """Connect and subscribe.

        Raises:
            LinkError: not reachable, not welcome, or the certificate does not fit.
            UnsupportedVersionError: the broker does not speak this version; only while `probing`.
        """
        config = self._config
        limit_s = min(config.connect_timeout_s, _PROBE_S) if probing else config.connect_timeout_s
        try:
            context = await asyncio.to_thread(tls_context, config.tls)
            if context is not None:
                self._client.tls_set_context(context)
            await asyncio.to_thread(self._dial)
            self._client.loop_start()
            async with asyncio.timeout(limit_s):
                await self._either(self._connected)
                code = self._connected.result() if self._connected.done() else None
                if code is not None and not code.is_failure:
                    await self._either(self._subscribed)
        except TimeoutError as exc:
            if probing:
                raise UnsupportedVersionError from exc
            raise self._failed("no answer", "is it an MQTT broker? does it want TLS?") from exc
        except (OSError, ValueError) as exc:
            raise self._failed(str(exc), _hint(exc)) from exc
        if code is None:
            if probing:
                raise UnsupportedVersionError
            raise self._failed("the broker hung up", "does it want TLS, or a client certificate?")
        if code.is_failure:
            if probing and code.value in _UNSUPPORTED_VERSION:
                raise UnsupportedVersionError
            raise self._failed(str(code), "check username, password and client_id")
        if self._subscribed.done():
            self._subscribed.result()

    async def _either(self, awaited: asyncio.Future[Any]) -> None:
        both: set[asyncio.Future[Any]] = {awaited, self.ended}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)

    def ack(self, message: Received) -> None:
        """PUBACK; only for messages of this connection."""
        if message.qos and not self.ended.done():
            self._client.ack(message.mid, message.qos)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send with QoS 0; whether the connection stands."""
        return self._client.publish(topic, payload).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    async def close(self) -> None:
        """Leave; the session and what it holds stay at the broker."""
        self._client.on_disconnect = None
        self._client.disconnect()
        if not self.ended.done():
            self.ended.set_result("closed")
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await asyncio.to_thread(self._client.loop_stop)
        self._client._reset_sockets()  # noqa: SLF001 - else they stay open until it is collected

    def _failed(self, why: str, hint: str) -> LinkError:
        where = f"{self._config.host}:{self._config.port}"
        return LinkError(DriverReason.REFUSED, f"no session with {where}: {why}", hint=hint)

    def _make(self, version: MQTTProtocolVersion) -> paho.Client:
        config = self._config
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=config.client_id,
            clean_session=None if self._v5 else False,
            protocol=version,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if config.username is not None:
            client.username_pw_set(
                config.username, config.password.reveal() if config.password else None
            )
        client.connect_timeout = config.connect_timeout_s
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    def _dial(self) -> None:
        config, properties = self._config, None
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = config.session_expiry_s
            properties.ReceiveMaximum = config.in_flight
            self._client.connect(
                config.host,
                config.port,
                config.keepalive_s,
                clean_start=False,
                properties=properties,
            )
        else:
            self._client.connect(config.host, config.port, config.keepalive_s)

    def _on_connect(self, client: paho.Client, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        if not code.is_failure:
            topics: list[tuple[str, int]] = [
                (TopicFilter(s.topic).mqtt, s.qos) for s in self._config.subscriptions
            ]
            client.subscribe(topics)
        self._tell(self._connected, code)

    def _on_subscribe(self, _c: Any, _u: Any, _m: int, codes: list[ReasonCode], _p: Any) -> None:
        refused = next((code for code in codes if code.is_failure), None)
        if refused is None:
            self._tell(self._subscribed, None)
            return
        text = f"the subscription is refused: {refused}"
        error = self._failed(text, "may this account read the topics?")
        self._loop.call_soon_threadsafe(_fail, self._subscribed, error)

    def _on_message(self, _c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        if self.overflowed and message.qos:
            return  # it comes again with those before it, in their order
        received = Received(
            self,
            message.topic,
            bytes(message.payload),
            message.mid,
            message.qos,
            message.retain,
            message.dup,
        )
        if self._inbox.put(received):
            return
        if message.qos:
            self.overflowed = True
        else:
            self.dropped += 1

    def _on_disconnect(self, _c: Any, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        self._tell(self.ended, str(code))

    def _tell(self, future: asyncio.Future[Any], value: object) -> None:
        with suppress(RuntimeError):  # the loop is closing
            self._loop.call_soon_threadsafe(_settle, future, value)


class UnsupportedVersionError(Exception):
    """The broker does not speak the version that was tried."""


def _settle(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: LinkError) -> None:
    if not future.done():
        future.set_exception(error)


def _hint(exc: Exception) -> str:
    if "certificate" in str(exc).lower():
        return "check tls.ca, and that host is the name in the certificate"
    return "is the broker running and reachable from here?"
