"""A stand-in for the cloud's ingester on real MQTT, with a ledger that can be asked and manners that can be bad."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tocsin.contract import topics
from tocsin.contract.codec import decode_header
from tocsin.contract.messages import VERSION, Command, CommitAck, Resume, StreamAck
from tocsin.contract.ranges import RangeSet
from tocsin.testing.waiting import wait_until_sync


class TestIngester:
    """Remembers every message of one gateway in order of arrival; `evidence` apart, which is asked for and not acknowledged.

    `acking` False keeps silent. `ack_message(ack)` may change or, by returning None, swallow an ack.
    """

    __test__ = False

    def __init__(
        self,
        port: int,
        user: str,
        password: str,
        *,
        site: str,
        gateway: str,
        name: str = "ingest-0",
        ack_message: Callable[[CommitAck], CommitAck | None] | None = None,
    ) -> None:
        self.site, self.gateway, self.name, self.port = site, gateway, name, port
        self.messages: list[tuple[str, bytes]] = []
        self.arrived_ns: list[int] = []  # wall clock, of each of `messages`
        self.payloads: dict[tuple[str, int], bytes] = {}
        self.changed: list[tuple[str, int]] = []
        self.duplicates = 0
        self.resumes: list[Resume] = []
        self.health: list[bytes] = []
        self.evidence: list[bytes] = []
        self.states: list[bytes] = []
        self.ledger: dict[str, RangeSet] = {}
        self.acking = True
        self._ack_message = ack_message
        self._lock = threading.Lock()
        self._up = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.username_pw_set(user, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        wait_until_sync(self._up.is_set)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def rows(self, cls: str = topics.TELEMETRY) -> int:
        """Distinct sequence numbers received, over all streams of a class."""
        streams = {
            decode_header(payload).stream
            for topic, payload in list(self.messages)
            if f"/up/{cls}" in topic
        }
        return sum(self.ledger[s].count for s in streams)

    def received(self, cls: str) -> list[tuple[str, bytes]]:
        """Topic and payload of each message of a class, resends included."""
        return [m for m in list(self.messages) if f"/up/{cls}" in m[0]]

    def ack_now(self) -> None:
        """Publish the whole ledger."""
        with self._lock:
            streams = {
                name: StreamAck(
                    have.contiguous_from(0), [r for r in have if r[0] > have.contiguous_from(0)]
                )
                for name, have in self.ledger.items()
            }
        self.publish_ack(CommitAck(VERSION, self.name, streams))

    def publish_ack(self, ack: CommitAck) -> None:
        """Publish this ack, through `ack_message`."""
        sent = self._ack_message(ack) if self._ack_message else ack
        if sent is not None:
            topic = topics.down_ack(self.site, self.gateway, self.name)
            self._client.publish(topic, msgspec.json.encode(sent), qos=1)

    def command(self, command: Command | bytes, what: str = "command") -> None:
        """Send a command down; `what` is its topic, `command` or `config`."""
        payload = command if isinstance(command, bytes) else msgspec.json.encode(command)
        self._client.publish(topics.down(self.site, self.gateway, what), payload, qos=1)

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        base = topics.base(self.site, self.gateway)
        client.subscribe([(f"{base}/up/#", 1), (f"{base}/state", 1)])

    def _on_subscribe(self, *_: Any) -> None:
        self._up.set()
        if self.acking:
            self.ack_now()

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        topic, payload = message.topic, bytes(message.payload)
        parsed = topics.parse_up(topic)
        kind = parsed.kind if parsed else ""
        if kind == "state":
            self.states.append(payload)
        elif kind == topics.HEALTH:
            self.health.append(payload)
        elif kind == topics.EVIDENCE:
            self.evidence.append(payload)
        elif kind == topics.RESUME:
            self.resumes.append(msgspec.json.decode(payload, type=Resume))
            if self.acking:
                self.ack_now()
        else:
            self._store(topic, payload)

    def _store(self, topic: str, payload: bytes) -> None:
        arrived_ns = time.time_ns()
        header = decode_header(payload)
        key = header.stream, header.first_seq
        with self._lock:
            if self.payloads.setdefault(key, payload) != payload:
                self.changed.append(key)
            have = self.ledger.setdefault(header.stream, RangeSet())
            if not have.missing(header.first_seq, header.first_seq + header.rows):
                self.duplicates += 1
            have.add(header.first_seq, header.first_seq + header.rows)
            self.messages.append((topic, payload))
            self.arrived_ns.append(arrived_ns)
        if self.acking:
            self.ack_now()
