"""The cloud's only MQTT client: one session after another on an event loop in a thread of its own.

A message is acknowledged to the broker when the ingest thread says so (`ack`), on the connection it came by and no
other: after a reconnect the broker delivers it again. MQTT 5 where the broker speaks it, else 3.1.1; both with a
persistent session under a stable client id. With `share` it is MQTT 5 or nothing, and the session ends with its
connection: a broker must not keep for one ingester what another could take. When the hand-over is full a message is left unacknowledged; once there
is room again the link reconnects, and the broker delivers what it still holds. That is at most three quarters of the
window; what comes beyond is acknowledged at once and left to its gateway, which sends it again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cloud.link.handover import Handover, Received
from cloud.link.options import LinkOptions
from cloud.link.session import Session
from tocsin.contract import topics
from tocsin.errors import BrokerError
from tocsin.mqtt.connection import UNSUPPORTED_VERSION, reason
from tocsin.mqtt.packets import Connack, Level, Publish
from tocsin.sdk import Clock

CONNECT_TIMEOUT_S = 10.0
FIRST_ANSWER_S = 2.0
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
DRAIN_CHECK_S = 0.2


class MqttLink:
    """`start`, then messages arrive in `handover`; `on_connected` is called in the link's thread after each subscribe."""

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
        self._tls = options.tls_context()
        self._session: Session | None = None
        self._generation = 0
        self._level: Level = 4 if options.protocol == "3.1.1" and not options.share else 5
        self._only_5 = options.share or options.protocol == "5"
        self._stop = threading.Event()
        self._overflowed = False
        self._said_unavailable = False
        self._answerless = False
        self._thread = threading.Thread(target=self._run, name="mqtt-link", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._begun = threading.Event()
        self.early_acks = 0
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
        if self._thread.ident is None:
            return
        self._begun.wait(CONNECT_TIMEOUT_S)
        if self._loop is not None and self._stopping is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(CONNECT_TIMEOUT_S + 5)

    def ack(self, *messages: Received) -> None:
        """PUBACK, if the connection they came by still stands. From any thread."""
        session = self._session
        if session is not None:
            mine = session.generation
            session.ack([m.mid for m in messages if m.mid and m.generation == mine])

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> bool:
        """Hand a message to the broker's socket; False when there is no connection, or no room. From any thread."""
        session = self._session
        return session is not None and self.connected and session.publish(topic, payload, qos)

    @property
    def protocol(self) -> str:
        """The MQTT version spoken, or tried next."""
        return "5" if self._level == 5 else "3.1.1"

    def _run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._begun.set()
        failures = 0
        while not self._stop.is_set():
            worked = await self._stand(self._stopping)
            failures = 0 if worked else failures + 1
            pause_s = random.uniform(0.0, BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _stand(self, stopping: asyncio.Event) -> bool:
        """One connection from CONNECT to its end; whether it was ever accepted."""
        self._generation += 1
        session = Session(
            self._options,
            self._tls,
            self._level,
            self._generation,
            lambda messages: self._received(messages, session),
            self._subscription_refused,
        )
        self._session = session
        before = self.connects
        ending = asyncio.create_task(stopping.wait())
        opening = asyncio.create_task(session.open(CONNECT_TIMEOUT_S, self._answer_timeout_s()))
        try:
            await asyncio.wait({opening, ending}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                self._answered(opening.result())
            while self.connected and not self._overflow_is_over():
                if await _first(session.ended, ending):
                    break
        except (OSError, ValueError) as exc:
            self._unavailable(str(exc) or "no answer")
        finally:
            self.connected = False
            for task in (opening, ending):
                task.cancel()
            await asyncio.wait({opening, ending})
            await session.close()
            self._session = None
        return self.connects > before

    def _overflow_is_over(self) -> bool:
        if self._overflowed and self._handover.roomy:
            self._overflowed = False
            return True
        return False

    def _answer_timeout_s(self) -> float:
        """Short for the very first try, which may speak a version that the broker leaves unanswered."""
        guessing = self._options.protocol == "auto" and not self._only_5
        guessing = guessing and self.connects == 0 and not self._answerless
        return FIRST_ANSWER_S if guessing else CONNECT_TIMEOUT_S

    def _answered(self, answer: Connack | None) -> None:
        if answer is None:
            self._no_answer()
        elif answer.code:
            guessed = not self._only_5 and self._level == 5
            if answer.code in UNSUPPORTED_VERSION and self._options.share:
                self._refuses_to_share("it speaks no MQTT 5")
            elif guessed and answer.code in UNSUPPORTED_VERSION:
                self._level = 4
            else:
                self._unavailable(reason(answer.code))
        elif self._options.share and not answer.shares:
            self._refuses_to_share("it says so when it is connected to")
        else:
            self.connects += 1
            self.connected = True
            if self._said_unavailable:
                self._said_unavailable = False
                self._log.warning("broker %s is back", self._where)
            self._on_connected()

    def _subscription_refused(self, code: int) -> None:
        if self._options.share:
            self._refuses_to_share(reason(code))
        else:
            self._unavailable(f"the broker refuses our subscription: {reason(code)}")

    def _refuses_to_share(self, why: str) -> None:
        """No use trying again: someone must change the configuration, or the broker."""
        self._stop.set()
        if self._stopping is not None:
            self._stopping.set()
        self._on_refused(
            BrokerError(
                f"the broker {self._where} gives no shared subscription: {why}",
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
                "broker %s drops messages, its queue is full (max_queued_bytes); gateways send them again",
                self._where,
            )
        self._dropping = dropping

    def _received(self, messages: list[Publish], session: Session) -> None:
        """What came together. What is not for the ingest thread is acknowledged at once, and what may not wait."""
        for_ingest: list[Publish] = []
        done: list[int] = []
        for message in messages:
            if message.topic == topics.BROKER_DROPPED:
                self._broker_dropped(message.payload)
            elif message.topic.startswith(topics.TOLD):
                self._on_told(message.topic, message.payload)
            else:
                for_ingest.append(message)
                continue
            if message.mid:
                done.append(message.mid)
        if for_ingest:
            done += self._hand_over(for_ingest, session)
        session.ack(done, waited=False)

    def _hand_over(self, messages: list[Publish], session: Session) -> list[int]:
        """The numbers of those that are not to wait for their acknowledgement."""
        now_ns, early = self._clock.now_ns(), list[int]()
        waits = session.may_wait(sum(1 for message in messages if message.mid))
        found: list[Received] = []
        for message in messages:
            mid = message.mid
            if mid and not waits:
                early.append(mid)
                mid = 0
            elif mid:
                waits -= 1
            found.append(Received(message.topic, message.payload, now_ns, session.generation, mid))
        self.early_acks += len(early)
        if not self._handover.put(*found):
            self._overflowed = True
        return early

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
            self._level = 4 if self._level == 5 else 5

    def _unavailable(self, why: str) -> None:
        if not self._said_unavailable and not self._stop.is_set():
            self._said_unavailable = True
            self._log.warning("broker %s is unavailable: %s", self._where, why)

    @property
    def _where(self) -> str:
        return f"{self._options.host}:{self._options.port}"


async def _first(*awaited: asyncio.Future[Any]) -> bool:
    """Whether one of them is done; waits for it a moment."""
    when = asyncio.FIRST_COMPLETED
    done, _ = await asyncio.wait(awaited, timeout=DRAIN_CHECK_S, return_when=when)
    return bool(done)
