"""One session with the broker on the link's event loop: what is unacknowledged in either direction, and what waits to leave."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence

from cloud.link.options import LinkOptions
from tocsin.contract import topics
from tocsin.contract.codec import MAX_MESSAGE_BYTES
from tocsin.mqtt import packets
from tocsin.mqtt.connection import Connection
from tocsin.mqtt.packets import Connack, Level, Packet, Puback, Publish, Suback

SESSION_EXPIRY_S = 7 * 86_400
MAX_PAYLOAD_BYTES = 2 * MAX_MESSAGE_BYTES
AT_ONCE = 100  # messages of ours that the broker has not acknowledged
MAX_WAITING = 100_000  # and that wait for their turn
MAX_UNSENT_BYTES = 8 << 20  # beyond, what needs no acknowledgement is not sent
_SUBSCRIBE, _SUBSCRIBE_DROPPED, _UNSUBSCRIBE, _FIRST = 1, 2, 3, 4
_LAST = 65_535


class Session:
    """`open` it on the event loop; `ack` and `publish` from any thread."""

    def __init__(
        self,
        options: LinkOptions,
        tls: ssl.SSLContext | None,
        level: Level,
        generation: int,
        on_messages: Callable[[list[Publish]], None],
        on_refused: Callable[[int], None],
    ) -> None:
        self._options, self._tls, self._level = options, tls, level
        self.generation = generation
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self._connection = Connection(level, MAX_PAYLOAD_BYTES, on_messages, self._answered)
        self._lock = threading.Lock()
        self._out: list[bytes] = []  # whole packets that the event loop is to send
        self._unacked = 0  # of the broker's
        self._sent: set[int] = set()  # of ours
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._at_once = AT_ONCE
        self._number = _FIRST - 1

    @property
    def ended(self) -> asyncio.Future[str]:
        """Why it ended, once it has."""
        return self._connection.ended

    async def open(self, dial_s: float, answer_s: float) -> Connack | None:
        """Connect, and subscribe where the broker agrees; its answer, None if there was none in time.

        Raises:
            OSError: not reachable in `dial_s`, or the certificate does not fit.
        """
        options, connection = self._options, self._connection
        connect = packets.connect(
            self._level,
            options.client_id,
            options.keepalive_s,
            username=options.username,
            password=options.password,
            session_expiry_s=0 if options.share else SESSION_EXPIRY_S,
            receive_maximum=options.window_messages,
            max_packet_bytes=MAX_PAYLOAD_BYTES,
            clean=options.share,
        )
        await connection.dial(options.host, options.port, self._tls, connect, dial_s)
        try:
            answer = await connection.either(connection.connected, answer_s)
        except TimeoutError:
            return None
        if answer is not None and not answer.code and (answer.shares or not options.share):
            self._subscribe(answer)
        return answer

    async def close(self) -> None:
        """Send what waits for the socket, and leave; the session and what it holds stay at the broker."""
        self._flush()
        await self._connection.close()

    def may_wait(self, n: int) -> int:
        """How many of `n` more messages may stay unacknowledged.

        The last quarter of the window is kept free: a broker whose window is full of telemetry that waits for the
        store would send no alarm either. What is acknowledged now its gateway still keeps, until a commit-ack names it.
        """
        window = self._options.window_messages
        with self._lock:
            if self._options.early_acks and window // 4:
                n = max(0, min(n, window - window // 4 - self._unacked))
            self._unacked += n
            return n

    def ack(self, mids: Sequence[int], *, waited: bool = True) -> None:
        """A PUBACK for each. `waited`: `may_wait` had let them wait."""
        if not mids:
            return
        with self._lock:
            self._unacked -= len(mids) if waited else 0
            first = self._queue(packets.pubacks(mids))
        if first:
            self._wake()

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        """Whether it was taken to be sent; of QoS 1 a few at once, the others wait for their turn."""
        with self._lock:
            if self.ended.done() or len(self._waiting) >= MAX_WAITING:
                return False
            if not qos:
                if self._connection.unsent_bytes > MAX_UNSENT_BYTES:
                    return False
                first = self._queue(packets.publish(self._level, topic, payload))
            elif len(self._sent) >= self._at_once:
                self._waiting.append((topic, payload))
                first = False
            else:
                first = self._queue(self._numbered(topic, payload))
        if first:
            self._wake()
        return True

    def _numbered(self, topic: str, payload: bytes) -> bytes:
        while True:
            self._number = _FIRST if self._number >= _LAST else self._number + 1
            if self._number not in self._sent:
                break
        self._sent.add(self._number)
        return packets.publish(self._level, topic, payload, self._number)

    def _queue(self, data: bytes) -> bool:
        """Whether the event loop has to be told."""
        self._out.append(data)
        return len(self._out) == 1

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            out, self._out = self._out, []
        self._connection.send(b"".join(out))

    def _subscribe(self, answer: Connack) -> None:
        options, level = self._options, self._level
        self._at_once = min(AT_ONCE, answer.receive_maximum)
        asked = packets.subscribe(level, _SUBSCRIBE, [(f, 1) for f in options.filters])
        asked += packets.subscribe(level, _SUBSCRIBE_DROPPED, [(topics.BROKER_DROPPED, 0)])
        stale = sorted(topics.every_filter() - set(options.filters))
        if answer.resumed and stale:  # it may hold subscriptions of another configuration
            asked += packets.unsubscribe(level, _UNSUBSCRIBE, stale)
        self._connection.send(asked)
        self._connection.beat(answer.keepalive_s or options.keepalive_s)

    def _answered(self, packet: Packet) -> None:
        match packet:
            case Puback(mid):
                with self._lock:
                    self._sent.discard(mid)
                    if self._waiting and len(self._sent) < self._at_once:
                        self._out.append(self._numbered(*self._waiting.popleft()))
                self._flush()
            case Suback(codes, mid) if (
                mid == _SUBSCRIBE
            ):  # others may count nothing, or tell nobody
                refused = [code for code in codes if code >= 128]
                if refused:
                    self._on_refused(refused[0])
