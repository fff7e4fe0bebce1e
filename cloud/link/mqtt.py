"""The cloud's only MQTT client: one paho session in threads of its own.

A message is acknowledged to the broker when the ingest thread says so (`ack`), on the connection it came by and no
other: after a reconnect the broker delivers it again. MQTT 5 where the broker speaks it, else 3.1.1; both with a
persistent session under a stable client id. With `share` it is MQTT 5 or nothing, and the session ends with its
connection: a broker must not keep for one ingester what another could take. When the hand-over is full a message is left unacknowledged; once there
is room again the link reconnects, and the broker delivers what it still holds. That is at most three quarters of the
window; what comes beyond is acknowledged at once and left to its gateway, which sends it again.
"""

from __future__ import annotations

import logging
import random
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cloud.link.handover import Handover, Received
from tocsin.contract import topics
from tocsin.contract.codec import MAX_MESSAGE_BYTES
from tocsin.errors import BrokerError, ConfigError, ConfigProblem
from tocsin.sdk import Clock

SESSION_EXPIRY_S = 7 * 86_400
CONNECT_TIMEOUT_S = 10.0
FIRST_ANSWER_S = 2.0
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
DRAIN_CHECK_S = 0.2
Protocol = Literal["auto", "5", "3.1.1"]
MAX_PACKET_BYTES = 2 * MAX_MESSAGE_BYTES
_UNSUPPORTED = (1, 132)  # CONNACK "unsupported protocol version" of 3.1.1 and of 5


@dataclass(frozen=True)
class LinkOptions:
    """Where the broker is and who we are."""

    host: str
    port: int
    client_id: str
    username: str
    password: str = field(repr=False)
    keepalive_s: int = 15
    window_messages: int = 8192
    protocol: Protocol = "auto"
    filters: Sequence[str] = tuple(topics.cloud_filters())
    share: bool = False
    early_acks: bool = True  # see `_may_wait`; False where nothing but telemetry comes
    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class MqttLink:
    """`start`, then messages arrive in `handover`; `on_connected` is called in a link thread after each subscribe."""

    def __init__(
        self,
        options: LinkOptions,
        handover: Handover,
        clock: Clock,
        log: logging.Logger,
        on_connected: Callable[[], None],
        *,
        on_told: Callable[[str, bytes], None] = lambda _topic, _payload: None,
        on_refused: Callable[[BrokerError], None] = lambda _error: None,
    ) -> None:
        self._options, self._handover, self._clock, self._log = options, handover, clock, log
        self._on_connected, self._on_told, self._on_refused = on_connected, on_told, on_refused
        self._client: mqtt.Client | None = None
        self._generation = 0
        self._version = (
            MQTTProtocolVersion.MQTTv311
            if options.protocol == "3.1.1" and not options.share
            else MQTTProtocolVersion.MQTTv5
        )
        self._only_5 = options.share or options.protocol == "5"
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._overflowed = False
        self._said_unavailable = False
        self._answerless = False
        self._refused = False
        self._tls = _tls_context(options) if options.tls else None
        self._thread = threading.Thread(target=self._run, name="mqtt-link", daemon=True)
        self._lock = threading.Lock()
        self._unacked = 0  # on this connection
        self.early_acks = 0
        self._dropped_mid: int | None = None
        self._dropping = False
        self.connected = False
        self.connects = 0
        self.broker_dropped: int | None = (
            None  # messages to whomever, since the broker's start; None: it tells nothing
        )

    def start(self) -> None:
        """Connect, and go on connecting for ever."""
        self._thread.start()

    def close(self) -> None:
        """Leave the broker; the session and what it holds stay there."""
        self._stop.set()
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(CONNECT_TIMEOUT_S + 5)

    def ack(self, *messages: Received) -> None:
        """PUBACK, if the connection they came by still stands."""
        client = self._client
        for message in messages:
            if message.mid and client is not None and message.generation == self._generation:
                with self._lock:
                    self._unacked -= 1
                client.ack(message.mid, message.qos)

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> bool:
        """Hand a message to the broker's socket; False when there is no connection."""
        client = self._client
        if client is None or not self.connected:
            return False
        return client.publish(topic, payload, qos).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    @property
    def protocol(self) -> str:
        """The MQTT version spoken, or tried next."""
        return "5" if self._version is MQTTProtocolVersion.MQTTv5 else "3.1.1"

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self._ended.clear()
            if self._stop.is_set():
                return
            worked = self._session()
            self.connected = False
            if self._stop.is_set():
                return
            failures = 0 if worked else failures + 1
            pause = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            self._stop.wait(pause * random.uniform(0.5, 1.0))

    def _session(self) -> bool:
        """One connection from CONNECT to its end; whether it was ever accepted."""
        client = self._make()
        before, self._refused = self.connects, False
        try:
            self._connect(client)
        except (OSError, ValueError) as exc:
            self._unavailable(str(exc))
            return False
        self._client = client
        client.loop_start()
        try:
            patience = self._clock.mono_ns() + int(self._answer_timeout_s() * 1e9)
            while not self._ended.wait(DRAIN_CHECK_S):
                if self.connects == before and self._clock.mono_ns() > patience:
                    break
                if self._overflowed and self._handover.roomy:
                    self._overflowed = False
                    break
        finally:
            self.connected = False
            client.disconnect()
            client.loop_stop()
            self._client = None
        if self.connects == before and not self._refused and not self._stop.is_set():
            self._no_answer()
        return self.connects > before

    def _answer_timeout_s(self) -> float:
        """Short for the very first try, which may speak a version that the broker leaves unanswered."""
        guessing = self._options.protocol == "auto" and not self._only_5
        guessing = guessing and self.connects == 0 and not self._answerless
        return FIRST_ANSWER_S if guessing else CONNECT_TIMEOUT_S

    def _make(self) -> mqtt.Client:
        options = self._options
        v5 = self._version is MQTTProtocolVersion.MQTTv5
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=None if v5 else False,
            protocol=self._version,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.username_pw_set(options.username, options.password)
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._tls is not None:
            client.tls_set_context(self._tls)
        with self._lock:
            self._generation += 1
            self._unacked = 0
        generation = self._generation

        def connected(
            client: mqtt.Client, _u: Any, flags: mqtt.ConnectFlags, code: ReasonCode, p: Any
        ) -> None:
            if self._options.share and getattr(p, "SharedSubscriptionAvailable", 1) == 0:
                self._refuses_to_share("it says so when it is connected to")
            else:
                self._connected(client, code, flags.session_present)

        def message(_c: mqtt.Client, _u: Any, message: mqtt.MQTTMessage) -> None:
            self._received(message, generation)

        def disconnected(*_: Any) -> None:
            self._ended.set()

        def subscribed(
            _c: mqtt.Client, _u: Any, mid: int, codes: list[ReasonCode], _p: Any
        ) -> None:
            refused = [code for code in codes if code.is_failure]
            if mid == self._dropped_mid:
                return  # a broker that counts nothing, or tells nobody
            if refused and self._options.share:
                self._refuses_to_share(str(refused[0]))
            elif refused:
                self._unavailable(f"the broker refuses our subscription: {refused[0]}")

        client.on_connect = connected
        client.on_message = message
        client.on_disconnect = disconnected
        client.on_subscribe = subscribed
        return client

    def _connect(self, client: mqtt.Client) -> None:
        options = self._options
        properties = None
        if self._version is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0 if options.share else SESSION_EXPIRY_S
            properties.ReceiveMaximum = options.window_messages
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            client.connect(
                options.host,
                options.port,
                options.keepalive_s,
                clean_start=options.share,
                properties=properties,
            )
        else:
            client.connect(options.host, options.port, options.keepalive_s)

    def _connected(self, client: mqtt.Client, code: ReasonCode, session_present: bool) -> None:
        if code.is_failure:
            self._refused = True
            guessed = not self._only_5 and self._version is MQTTProtocolVersion.MQTTv5
            if code.value in _UNSUPPORTED and self._options.share:
                self._refuses_to_share("it speaks no MQTT 5")
            elif guessed and code.value in _UNSUPPORTED:
                self._version = MQTTProtocolVersion.MQTTv311
            else:
                self._unavailable(str(code))
            self._ended.set()
            return
        self.connects += 1
        client.subscribe([(f, 1) for f in self._options.filters])
        _, self._dropped_mid = client.subscribe(topics.BROKER_DROPPED, 0)
        if session_present:  # it may hold subscriptions of another configuration
            client.unsubscribe(sorted(topics.every_filter() - set(self._options.filters)))
        self.connected = True
        if self._said_unavailable:
            self._said_unavailable = False
            self._log.warning("broker %s:%d is back", self._options.host, self._options.port)
        self._on_connected()

    def _refuses_to_share(self, why: str) -> None:
        """No use trying again: someone must change the configuration, or the broker."""
        self._stop.set()
        self._ended.set()
        host, port = self._options.host, self._options.port
        self._on_refused(
            BrokerError(
                f"the broker {host}:{port} gives no shared subscription: {why}",
                hint="set ingest.buckets of each ingester instead of ingest.share",
            )
        )

    def _broker_dropped(self, payload: bytes) -> None:
        """The broker's count since its start. Nothing is lost by it: gateways send again what no commit-ack names."""
        if not payload.isdigit():
            return
        before, self.broker_dropped = self.broker_dropped, int(payload)
        dropping = before is not None and self.broker_dropped > before
        if dropping and not self._dropping:
            self._log.warning(
                "broker %s:%d drops messages, its queue is full (max_queued_bytes); gateways send them again",
                self._options.host,
                self._options.port,
            )
        self._dropping = dropping

    def _received(self, message: mqtt.MQTTMessage, generation: int) -> None:
        if message.topic == topics.BROKER_DROPPED:
            self._broker_dropped(bytes(message.payload))
            return
        if message.topic.startswith(topics.TOLD):
            self._on_told(message.topic, bytes(message.payload))
            return
        mid = message.mid if message.qos else 0
        if mid and not self._may_wait():
            self.early_acks += 1
            if (client := self._client) is not None:
                client.ack(mid, message.qos)
            mid = 0
        received = Received(
            message.topic,
            bytes(message.payload),
            self._clock.now_ns(),
            generation,
            mid,
            message.qos,
        )
        if not self._handover.put(received):
            self._overflowed = True

    def _may_wait(self) -> bool:
        """Whether one more message may stay unacknowledged.

        The last quarter of the window is kept free: a broker whose window is full of telemetry that waits for the store
        would send no alarm either. What is acknowledged now its gateway still keeps, until a commit-ack names it.
        """
        with self._lock:
            kept_free = self._options.window_messages // 4 if self._options.early_acks else 0
            if kept_free and self._unacked >= self._options.window_messages - kept_free:
                return False
            self._unacked += 1
            return True

    def _no_answer(self) -> None:
        """A broker that knows only 3.1.1 may leave a CONNECT of version 5 without an answer (amqtt does)."""
        if self._only_5 or self._options.protocol != "auto":
            self._unavailable("the broker closed the connection without an answer")
            return
        if self.connects == 0 and not self._answerless:
            self._answerless = True
        else:
            self._unavailable("the broker closed the connection without an answer")
        if self.connects == 0:
            v5 = self._version is MQTTProtocolVersion.MQTTv5
            self._version = MQTTProtocolVersion.MQTTv311 if v5 else MQTTProtocolVersion.MQTTv5

    def _unavailable(self, why: str) -> None:
        if not self._said_unavailable and not self._stop.is_set():
            self._said_unavailable = True
            self._log.warning(
                "broker %s:%d is unavailable: %s", self._options.host, self._options.port, why
            )


def _tls_context(options: LinkOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca and str(options.ca))
        if options.cert is not None and options.key is not None:
            context.load_cert_chain(options.cert, options.key)
    except OSError as exc:
        place = options.ca or options.cert
        problem = ConfigProblem(
            file=str(place),
            line=0,
            key="broker.tls",
            value="",
            allowed=f"readable PEM files: {exc}",
        )
        raise ConfigError([problem]) from exc
    return context
