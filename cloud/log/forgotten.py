"""Messages that the stream holds and their consumer counts as acknowledged: seen where a server died while it led both.

The consumer never hands them out again, so they are read from the stream itself, and taken out of it when they are stored.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from cloud.log.connection import consumer

if TYPE_CHECKING:
    from nats.js import JetStreamContext
    from nats.js.api import RawStreamMsg

AT_ONCE = 100


class Forgotten:
    """Of one lane. What was just acknowledged looks the same for a moment, so that only what is there twice counts."""

    def __init__(self, stream: str, lane: int) -> None:
        self._stream, self._lane = stream, lane
        self._seen: set[int] = set()

    async def look(self, js: JetStreamContext, in_hand: Collection[int]) -> list[RawStreamMsg]:
        """What was there at the look before, too; the oldest `AT_ONCE` at most.

        Raises:
            nats.errors.Error: no answer.
        """
        from nats.js.errors import NotFoundError

        told = await js.consumer_info(self._stream, consumer(self._lane))
        floor = told.ack_floor.stream_seq if told.ack_floor is not None else 0
        found: list[RawStreamMsg] = []
        after = 0
        while len(found) < AT_ONCE:
            try:
                one = await js.get_msg(
                    self._stream, seq=after + 1, subject=f"{self._stream}.{self._lane}", next=True
                )
            except NotFoundError:
                break
            if one.seq is None or one.seq > floor:
                break
            after = one.seq
            if after not in in_hand:
                found.append(one)
        seen, self._seen = self._seen, {one.seq for one in found if one.seq is not None}
        return [one for one in found if one.seq in seen]
