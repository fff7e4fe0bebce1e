"""From the broker into JetStream."""

from __future__ import annotations

import logging

from cloud.link import Received
from cloud.log import LogOptions
from cloud.log.connection import MOST_BYTES, REQUEST_TIMEOUT_S, Connection
from cloud.log.subjects import lane_of, message_id

TOPIC, RECEIVED, ID = "Tocsin-Topic", "Tocsin-Received-Ns", "Nats-Msg-Id"


class JetStreamSink:
    """`keep` returns once the stream has acknowledged, by then on most of its replicas."""

    def __init__(self, options: LogOptions, log: logging.Logger) -> None:
        self._options = options
        self.connection = Connection(options, [], log)
        self.repeats = 0

    async def keep(self, message: Received) -> None:
        """Publish; a message that the stream knows from its duplicate window is there already.

        Raises:
            LogUnavailableError: it may not be there; try again later.
        """
        import nats.errors

        _, js = await self.connection.ready()
        headers = {TOPIC: message.topic, RECEIVED: str(message.received_ns)}
        if (told := message_id(message.topic, message.payload)) is not None:
            headers[ID] = told
        subject = f"{self._options.stream}.{lane_of(message.topic, self._options.lanes)}"
        try:
            payload = message.payload[:MOST_BYTES]  # beyond, an ingester refuses it by its size
            answer = await js.publish(subject, payload, timeout=REQUEST_TIMEOUT_S, headers=headers)
        except (nats.errors.Error, OSError, TimeoutError) as exc:
            raise self.connection.failed(exc) from exc
        self.repeats += bool(answer.duplicate)
        self.connection.worked()

    async def aclose(self) -> None:
        """Leave."""
        await self.connection.aclose()
