"""What the spine answers about dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar

import msgspec

from cloud.ingest.attempts import Told
from cloud.ingest.letters import Chosen, DeadLetters
from cloud.rpc import Handler
from tocsin.errors import NotFoundError

REQUEUE_WAIT_S = 10.0
MAX_AT_ONCE = 100
_R = TypeVar("_R")

Begin = Callable[[Mapping[str, Any]], Future[Told] | None]


class LetterOperations:
    """`handlers` for the server. `begin` gives a letter to the ingester again; None when it has no room."""

    def __init__(self, letters: DeadLetters, begin: Begin, now_ns: Callable[[], int]) -> None:
        self._letters, self._begin, self._now_ns = letters, begin, now_ns

    @property
    def handlers(self) -> dict[str, Handler]:
        """Operation name -> what answers it."""
        return {
            "deadletters": self.deadletters,
            "deadletter_ids": self.deadletter_ids,
            "deadletter_counts": self.deadletter_counts,
            "deadletter": self.deadletter,
            "deadletter_requeue": self.deadletter_requeue,
            "deadletter_drop": self.deadletter_drop,
        }

    async def deadletters(
        self, limit: int = 100, reason: str = "", gateway: str = "", since_ns: int = 0
    ) -> object:
        """The newest first, without their bytes."""
        return await _aside(self._letters.list, limit, Chosen(reason, gateway, since_ns))

    async def deadletter_ids(
        self, reason: str = "", gateway: str = "", since_ns: int = 0
    ) -> object:
        """The oldest first."""
        return await _aside(self._letters.ids, Chosen(reason, gateway, since_ns))

    async def deadletter_counts(
        self, reason: str = "", gateway: str = "", since_ns: int = 0
    ) -> object:
        """How many, by gateway and reason."""
        return await _aside(self._letters.counts, Chosen(reason, gateway, since_ns))

    async def deadletter(self, id: int) -> object:  # noqa: A002 - the operation's own word
        """One with its bytes."""
        found = await _aside(self._letters.get, id)
        if found is None:
            raise NotFoundError(f"there is no dead letter {id}")
        return found

    async def deadletter_requeue(self, ids: Sequence[int]) -> object:
        """Try these again, at most `MAX_AT_ONCE`; what became of each."""
        told = await _aside(self._requeue, ids[:MAX_AT_ONCE])
        return msgspec.to_builtins(told)

    async def deadletter_drop(self, ids: Sequence[int]) -> object:
        """Forget these for ever; how many there were."""
        return await _aside(self._letters.remove, ids[:MAX_AT_ONCE])

    def _requeue(self, ids: Sequence[int]) -> list[Told]:
        told: dict[int, Told] = {}
        futures: dict[int, Future[Told]] = {}
        for letter in ids:
            row = self._letters.get(letter)
            if row is None:
                told[letter] = Told(letter, "unknown")
            elif len(row["payload"]) != row["payload_bytes"]:
                told[letter] = Told(letter, "cut")
            elif (future := self._begin(row)) is None:
                told[letter] = Told(letter, "busy")
            else:
                self._letters.requeued(letter, self._now_ns())
                futures[letter] = future
        wait(futures.values(), REQUEUE_WAIT_S)
        for letter, future in futures.items():
            told[letter] = future.result() if future.done() else Told(letter, "waiting")
        return [told[letter] for letter in ids]


async def _aside(work: Callable[..., _R], *args: object) -> _R:
    return await asyncio.to_thread(partial(work, *args))
