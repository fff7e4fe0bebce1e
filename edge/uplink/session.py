"""Opening one MQTT connection: TLS, MQTT 5 or 3.1.1, last will, time-outs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.options import UplinkOptions
from edge.tls import tls_context
from tocsin.config import TlsOptions
from tocsin.contract import topics
from tocsin.errors import UplinkError

MAX_UNACKNOWLEDGED = 16  # PUBACKs outstanding; brokers allow at least 20
SESSION_EXPIRY_S = 3600
_PROBE_S = 2.0
_HUNG_UP = "the broker hung up without an answer"
_UNSUPPORTED_VERSION = (1, 132)  # MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2


class Connector:
    """Makes sessions for one gateway; remembers when a broker does not speak MQTT 5."""

    def __init__(
        self,
        options: UplinkOptions,
        site: str,
        gateway: str,
        on_refused: Callable[[str], None],
    ) -> None:
        self._options, self._site, self._gateway = options, site, gateway
        self._on_refused = on_refused
        self.protocol: aiomqtt.ProtocolVersion | None = None  # until a broker has told

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiomqtt.Client]:
        """A connected client with our subscriptions; closed at the end, whatever happened.

        Raises:
            UplinkError: not reachable, not welcome, or the certificate does not fit.
        """
        v5, v311 = aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311
        timeout_s = self._options.connect_timeout_s
        try:
            if self.protocol is not None:
                client = await self._connect(self.protocol, timeout_s)
            else:
                try:
                    client = await self._connect(v5, min(timeout_s, _PROBE_S))
                    self.protocol = v5
                except aiomqtt.MqttError as exc:
                    if not _may_be_unsupported(exc):
                        raise
                    client = await self._connect(v311, timeout_s)
                    self.protocol = v311
        except aiomqtt.MqttError as exc:
            raise self._unreachable(exc) from exc
        try:
            yield client
        finally:
            with suppress(aiomqtt.MqttError):
                await client.__aexit__(None, None, None)

    async def _connect(self, protocol: aiomqtt.ProtocolVersion, timeout_s: float) -> aiomqtt.Client:
        options = self._options
        v5 = protocol is aiomqtt.ProtocolVersion.V5
        properties = None
        if v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call,unused-ignore]
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
        client = aiomqtt.Client(
            options.host,
            options.port,
            identifier=f"tocsin-{self._gateway}",
            username=options.username or self._gateway,
            password=options.password.reveal() if options.password else None,
            protocol=protocol,
            clean_session=None if v5 else False,
            clean_start=False if v5 else MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
            keepalive=options.keepalive_s,
            timeout=timeout_s,
            max_inflight_messages=MAX_UNACKNOWLEDGED,
            tls_context=await asyncio.to_thread(uplink_tls, options.tls),
            will=aiomqtt.Will(topics.state(self._site, self._gateway), b"offline", 1, True),
            logger=_quiet(),
        )
        client.pending_calls_threshold = 2 * MAX_UNACKNOWLEDGED
        paho = client._client  # noqa: SLF001 - what aiomqtt does not pass on
        paho.connect_timeout = options.connect_timeout_s
        acknowledged: Any = paho.on_publish

        def on_publish(c: Any, u: Any, mid: int, reason: Any, p: Any) -> None:
            if reason.is_failure:
                self._on_refused(str(reason))
            acknowledged(c, u, mid, reason, p)

        paho.on_publish = on_publish
        _notice_hang_up(client)
        entering = asyncio.create_task(client.__aenter__(), name="uplink-connect")
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            # connecting runs in a thread and cannot be stopped half-way
            await asyncio.wait({entering}, timeout=options.connect_timeout_s)
            if entering.done() and not entering.cancelled() and entering.exception() is None:
                with suppress(aiomqtt.MqttError):
                    await client.__aexit__(None, None, None)
            raise
        except aiomqtt.MqttError:
            paho.disconnect()  # frees the socket of a connection that was never accepted
            raise
        client.timeout = options.connect_timeout_s
        return client

    def _unreachable(self, exc: aiomqtt.MqttError) -> UplinkError:
        where = f"{self._options.host}:{self._options.port}"
        hint = "is the broker running and reachable from here?"
        if isinstance(exc, MqttConnectError):
            hint = "check uplink.username and uplink.password"
        elif _HUNG_UP in str(exc):
            hint = "does it want TLS, or a client certificate (uplink.tls)?"
        elif "certificate" in str(exc).lower():
            hint = "check uplink.tls.ca, and that uplink.host is the name in the certificate"
        return UplinkError(f"no session with the broker {where}: {exc}", hint=hint)


def uplink_tls(options: TlsOptions | None) -> ssl.SSLContext | None:
    """The context for the uplink's broker.

    Raises:
        UplinkError: a file is missing or no PEM.
    """
    try:
        return tls_context(options)
    except OSError as exc:
        raise UplinkError(
            f"the TLS files cannot be used: {exc}", hint="check uplink.tls.ca, cert and key"
        ) from exc


def _notice_hang_up(client: aiomqtt.Client) -> None:
    """aiomqtt waits for the time-out when the broker closes the connection instead of answering the CONNECT."""
    paho, waiting = client._client, client._connected  # noqa: SLF001
    disconnected: Any = paho.on_disconnect
    loop = asyncio.get_running_loop()

    def fail() -> None:
        if not waiting.done():
            waiting.set_exception(aiomqtt.MqttError(_HUNG_UP))

    def on_disconnect(*args: Any) -> None:
        disconnected(*args)
        loop.call_soon_threadsafe(fail)

    paho.on_disconnect = on_disconnect


def _may_be_unsupported(exc: aiomqtt.MqttError) -> bool:
    """A broker without MQTT 5 says so, or misreads the CONNECT and says nothing (amqtt does, at a last will)."""
    if isinstance(exc, MqttConnectError):
        return getattr(exc.rc, "value", exc.rc) in _UNSUPPORTED_VERSION
    return "timed out" in str(exc) or _HUNG_UP in str(exc)


def _quiet() -> logging.Logger:
    """aiomqtt repeats what we say once."""
    logger = logging.getLogger("tocsin.uplink.mqtt")
    logger.setLevel(logging.CRITICAL)
    return logger
