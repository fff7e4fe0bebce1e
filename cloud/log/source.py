"""From JetStream into an ingester's hand-over: one pull request at a time for each lane, while there is room."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cloud.link import Handover, Received
from cloud.log import LogOptions
from cloud.log.connection import Connection, consumer
from cloud.log.forgotten import Forgotten
from cloud.log.sink import RECEIVED, TOPIC
from tocsin.errors import LogUnavailableError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

BATCH = 200
EXPIRES_S = 5.0
PATIENCE_S = 3.0  # beyond that, for a word of a server that is gone
ROOM_S = 0.05
AGAIN_S = 0.5
LOOK_S = 5.0
NOTHING_MORE = ("404", "408")  # status of a request that found no (more) messages in its time


class JetStreamSource:
    """What is in hand is kept alive at the stream, so that a store that is away for an hour costs no second delivery."""

    def __init__(
        self,
        options: LogOptions,
        lanes: list[int],
        handover: Handover,
        log: logging.Logger,
        on_failed: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        self._on_failed = on_failed
        self._options, self._lanes, self._handover = options, lanes, handover
        self.connection = Connection(options, lanes, log)
        self._in_hand: dict[
            int, Msg | None
        ] = {}  # by their number in the stream; None: of no consumer
        self._acks: asyncio.Queue[int] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.redelivered = self.forgotten = 0

    @property
    def in_hand(self) -> int:
        """Messages handed over and not acknowledged."""
        return len(self._in_hand)

    def start(self) -> None:
        """Begin to pull. From the event loop."""
        self._loop = asyncio.get_running_loop()
        works = [(f"pull-{lane}", self._pull(lane)) for lane in self._lanes]
        works += [(f"look-{lane}", self._look(lane)) for lane in self._lanes]
        works += [("log-acks", self._acknowledge()), ("log-hold", self._hold())]
        works.append(("log-watch", self.connection.watch()))
        self._tasks = [asyncio.create_task(work, name=name) for name, work in works]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failed(error)

    def ack(self, message: Received) -> None:
        """It is stored, or a dead letter. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._acks.put_nowait, message.log_seq)

    async def aclose(self) -> None:
        """Send the acknowledgements that wait, and leave."""
        for task in self._tasks:
            if task.get_name() != "log-acks":
                task.cancel()
        with contextlib.suppress(TimeoutError):  # the rest is delivered again, and found stored
            async with asyncio.timeout(PATIENCE_S):
                await self._acks.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.aclose()

    async def _pull(self, lane: int) -> None:
        """For ever; whatever fails is tried again."""
        import nats.errors

        while True:
            try:
                client, _ = await self.connection.ready()
                inbox = client.new_inbox()
                wants = await client.subscribe(inbox)
                try:
                    while True:
                        await self._request(client, lane, inbox, wants)
                finally:
                    await wants.unsubscribe()
            except LogUnavailableError:
                await asyncio.sleep(AGAIN_S)
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                self.connection.failed(exc)
                await asyncio.sleep(AGAIN_S)

    async def _request(self, client: Client, lane: int, inbox: str, wants: Subscription) -> None:
        """One pull request to its end.

        Raises:
            LogUnavailableError: no server answers it.
        """
        while not self._handover.roomy:  # noqa: ASYNC110 - a thread empties it
            await asyncio.sleep(ROOM_S)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._options.stream}.{consumer(lane)}"
        asked = {"batch": BATCH, "expires": int(EXPIRES_S * 1e9)}
        await client.publish(subject, json.dumps(asked).encode(), reply=inbox)
        for _ in range(BATCH):
            msg = await wants.next_msg(EXPIRES_S + PATIENCE_S)
            status = (msg.headers or {}).get("Status") if not msg.data else None
            if status is None:
                await self._hand_over(msg)
            elif status in NOTHING_MORE:
                self.connection.worked()
                return
            else:
                why = (msg.headers or {}).get("Description", "")
                raise self.connection.failed(LogUnavailableError(f"{status} {why}".strip()))
        self.connection.worked()

    async def _hand_over(self, msg: Msg) -> None:
        told = msg.metadata
        number = told.sequence.stream
        known = number in self._in_hand
        self._in_hand[number] = msg  # the newest delivery is the one to acknowledge
        if known:
            self.redelivered += 1
            return
        await self._put(number, msg.headers, msg.data, told.num_delivered or 1)

    async def _put(
        self, number: int, headers: dict[str, str] | None, payload: bytes, deliveries: int
    ) -> None:
        received = (headers or {}).get(RECEIVED, "")
        message = Received(
            (headers or {}).get(TOPIC, ""),
            payload,
            int(received) if received.isdecimal() else time.time_ns(),
            0,
            log_seq=number,
            deliveries=deliveries,
        )
        while not self._handover.put(message):  # noqa: ASYNC110 - as above
            await asyncio.sleep(ROOM_S)

    async def _acknowledge(self) -> None:
        import nats.errors

        while True:
            number = await self._acks.get()
            with contextlib.suppress(  # what fails here comes again, and is found stored
                nats.errors.Error, OSError, TimeoutError, LogUnavailableError
            ):
                if number in self._in_hand:
                    await self._take_out(number, self._in_hand.pop(number))
            self._acks.task_done()

    async def _take_out(self, number: int, msg: Msg | None) -> None:
        if msg is not None:
            await msg.ack()
        else:
            _, js = await self.connection.ready()
            await js.delete_msg(self._options.stream, number)

    async def _look(self, lane: int) -> None:
        """For what the consumer forgot."""
        import nats.errors

        forgotten = Forgotten(self._options.stream, lane)
        while True:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError, LogUnavailableError):
                _, js = await self.connection.ready()
                for one in await forgotten.look(js, self._in_hand):
                    if one.seq is not None and one.seq not in self._in_hand:
                        self.forgotten += 1
                        self._in_hand[one.seq] = None
                        await self._put(one.seq, one.headers, one.data or b"", 1)

    async def _hold(self) -> None:
        """Tell the stream that what is in hand is being worked on."""
        import nats.errors

        while True:
            await asyncio.sleep(self._options.ack_wait_s / 3)
            for msg in list(self._in_hand.values()):
                try:
                    if msg is not None:
                        await msg.in_progress()
                except (nats.errors.Error, OSError):
                    break
