"""A gateway's side of the wire with the outbox's manners: what is not commit-acknowledged is sent again (on paho)."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tocsin.contract import topics
from tocsin.contract.codec import Codec, encode
from tocsin.contract.columns import Row, group_rows
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, Batch, CommitAck, Resume, StreamState
from tocsin.contract.ranges import RangeSet


class WireGateway:
    """Keeps every chunk in memory until some ingester holds it. Reconnects by itself.

    With `window_bytes` no more than that is sent and not yet committed, as a real gateway does.
    """

    def __init__(
        self,
        port: int,
        gateway: str,
        site: str,
        password: str,
        *,
        resend_after_s: float = 1.0,
        window_bytes: int | None = None,
        codec: Codec = "jn",
    ) -> None:
        self.gateway, self.site = gateway, site
        self.stream = ulid(time.time_ns())
        self.settled = RangeSet()
        self.rejected = RangeSet()
        self.codec = codec
        self.sent = 0
        self.acks = 0
        self.acks_by: Counter[str] = Counter()  # by ingester
        self.lacks: list[tuple[str, int, int]] = []  # told by this ingester, of numbers [lo, hi)
        self.down: list[tuple[str, bytes]] = []
        self._port, self._resend_after_s, self._window_bytes = port, resend_after_s, window_bytes
        self._lock = threading.Lock()
        self._chunks: dict[
            int, tuple[int, str, bytes, float]
        ] = {}  # first seq -> rows, topic, bytes, sent
        self._next_seq = 0
        self._stop = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=gateway, clean_session=False)  # fmt: skip
        client.username_pw_set(gateway, password)
        client.reconnect_delay_set(1, 1)
        client.max_inflight_messages_set(0)
        client.will_set(topics.state(site, gateway), b"offline", 1, retain=True)
        client.on_connect = self._connected
        client.on_message = self._message
        self._client = client
        self._resender = threading.Thread(target=self._resend, name=f"resend-{gateway}")

    def __enter__(self) -> Self:
        self._client.connect_async("127.0.0.1", self._port, keepalive=10)
        self._client.loop_start()
        self._resender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._resender.join()
        self._client.disconnect()
        self._client.loop_stop()

    def put(self, rows: list[Row]) -> int:
        """Seal a chunk of telemetry and send it; the number of its first row."""
        t0, unit, groups = group_rows(rows)
        return self.put_sealed(
            len(rows),
            topics.TELEMETRY,
            lambda seq: encode(
                Batch(VERSION, self.site, self.gateway, self.stream, seq, t0, groups, unit),
                self.codec,
            ),
        )

    def put_sealed(self, rows: int, kind: str, seal: Callable[[int], bytes]) -> int:
        """Take the next `rows` numbers of the stream for what `seal(first number)` makes, whatever it is, and send it."""
        with self._lock:
            seq = self._next_seq
            self._next_seq += rows
            topic = topics.up(self.site, self.gateway, kind)
            self._chunks[seq] = (rows, topic, seal(seq), 0.0)
        self._send(seq)
        return seq

    def give_up(self, numbers: int) -> None:
        """The next numbers never come."""
        with self._lock:
            self._next_seq += numbers

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send anything once, with QoS 1."""
        self._client.publish(topic, payload, 1, retain)

    @property
    def uncommitted(self) -> int:
        """Chunks that no ingester holds."""
        with self._lock:
            return len(self._chunks)

    @property
    def under_way_bytes(self) -> int:
        """Bytes that were sent and that no ingester holds."""
        with self._lock:
            return self._under_way()

    @property
    def rows(self) -> int:
        """Rows put so far."""
        return self._next_seq

    def resume(self, committed: int = 0) -> None:
        """Ask what ingesters hold, and say up to which number everything was committed."""
        state = StreamState(topics.TELEMETRY, self.stream, 0, self._next_seq, committed)
        resume = Resume(VERSION, self.site, self.gateway, [state])
        topic = topics.up(self.site, self.gateway, topics.RESUME)
        self._client.publish(topic, msgspec.json.encode(resume), 1)

    def _send(self, seq: int) -> None:
        with self._lock:
            chunk = self._chunks.get(seq)
            if chunk is None:
                return
            if not self._client.is_connected():
                return
            rows, topic, payload, sent = chunk
            if not sent and self._is_full(len(payload)):
                return
            self._chunks[seq] = (rows, topic, payload, time.monotonic())
        self.sent += 1
        self._client.publish(topic, payload, 1)

    def _is_full(self, size: int) -> bool:
        """Whether the window has no room for so much more."""
        if self._window_bytes is None:
            return False
        return self._under_way() + size > self._window_bytes

    def _under_way(self) -> int:
        return sum(len(payload) for _, _, payload, sent in self._chunks.values() if sent)

    def _resend(self) -> None:
        while not self._stop.wait(self._resend_after_s / 4):
            late = time.monotonic() - self._resend_after_s
            with self._lock:
                due = [seq for seq, chunk in self._chunks.items() if chunk[3] < late]
            for seq in due:
                self._send(seq)

    def _connected(self, client: mqtt.Client, _u: Any, _f: Any, code: Any, _p: Any) -> None:
        if code.is_failure:
            return
        client.subscribe(topics.down_filter(self.site, self.gateway), 1)
        client.publish(topics.state(self.site, self.gateway), b"online", 1, retain=True)
        self.resume()

    def _message(self, _c: mqtt.Client, _u: Any, message: mqtt.MQTTMessage) -> None:
        if "/down/ack/" not in message.topic:
            self.down.append((message.topic, bytes(message.payload)))
            return
        ack = msgspec.json.decode(message.payload, type=CommitAck)
        told = ack.streams.get(self.stream)
        if told is None:
            return
        with self._lock:
            self.acks += 1
            self.acks_by[ack.ingester] += 1
            self.lacks += [(ack.ingester, lo, hi) for lo, hi in told.lacks]
            self.settled.add(0, told.upto)
            for lo, hi in (*told.ranges, *told.also):
                self.settled.add(lo, hi)
            for lo, hi in told.rejected:
                self.rejected.add(lo, hi)
            for seq in list(self._chunks):
                if not self.settled.missing(seq, seq + self._chunks[seq][0]):
                    del self._chunks[seq]
