"""From the broker into JetStream."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cloud.link import Received
from cloud.log import LogOptions
from cloud.log.connection import MOST_BYTES, Connection
from cloud.log.subjects import lane_of, message_id

if TYPE_CHECKING:
    from nats.js import JetStreamContext

PUBLISH_TIMEOUT_S = 2.0  # what went to a server that died is told again to another
TOPIC, RECEIVED, ID = "Tocsin-Topic", "Tocsin-Received-Ns", "Nats-Msg-Id"


class JetStreamSink:
    """`keep` returns once the stream has acknowledged, by then on most of its replicas."""

    def __init__(self, options: LogOptions, log: logging.Logger) -> None:
        self._options = options
        self.connection = Connection(options, [], log)
        self.repeats = 0

    async def keep(self, message: Received) -> None:
        """Publish. What the stream knows from its duplicate window is looked for, and told again if it is not there.

        Raises:
            LogUnavailableError: it may not be there; try again later.
        """
        import nats.errors

        _, js = await self.connection.ready()
        headers = {TOPIC: message.topic, RECEIVED: str(message.received_ns)}
        if (told := message_id(message.topic, message.payload)) is not None:
            headers[ID] = told
        subject = f"{self._options.stream}.{lane_of(message.topic, self._options.lanes)}"
        payload = message.payload[:MOST_BYTES]  # beyond, an ingester refuses it by its size
        try:
            answer = await js.publish(subject, payload, timeout=PUBLISH_TIMEOUT_S, headers=headers)
            if answer.duplicate:
                self.repeats += 1
                if not await self._holds(js, answer.seq, told):
                    del headers[ID]
                    await js.publish(subject, payload, timeout=PUBLISH_TIMEOUT_S, headers=headers)
        except (nats.errors.Error, OSError, TimeoutError) as exc:
            raise self.connection.failed(exc) from exc
        self.connection.worked()

    async def _holds(self, js: JetStreamContext, seq: int, told: str | None) -> bool:
        """Whether the message that is said to be there is.

        It may have been taken out, stored or not; and a server that lost the lead while it wrote remembers the name of a
        message that never came to be.
        """
        from nats.js.errors import NotFoundError

        try:
            found = await js.get_msg(self._options.stream, seq)
        except NotFoundError:
            return False
        return (found.headers or {}).get(ID) == told

    async def aclose(self) -> None:
        """Leave."""
        await self.connection.aclose()
