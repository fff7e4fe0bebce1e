"""Pulls a lock's log page by page: verified, journalled, remembered, and only then acknowledged to the lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge.durable import write_durably
from edge.locks import log_sync
from edge.locks.dialogue import Dialogue
from edge.locks.log_sync import Position, Step
from edge.locks.surroundings import Surroundings
from edge.locks.wire import LockSaidNoError
from firmware_bridges.lock import client
from firmware_bridges.lock.client import MAX_PAGE_EVENTS
from tocsin.grants.lock_log import decode_event

MAX_PAGES = 64  # of one reading: a whole log of 512 events is 32


class LogReader:
    """Reads one lock's log. `place` is a file that remembers how far; without one that is forgotten with the process."""

    def __init__(self, name: str, lock_id: bytes, place: Path | None, around: Surroundings) -> None:
        self._name, self._lock_id, self._place, self._around = name, lock_id, place, around
        position = _remembered(place)
        self._known = position is not None
        self._position = position or log_sync.start(lock_id)

    @property
    def synced_seq(self) -> int | None:
        """The newest event that is journalled; None before any was."""
        return self._position.seq if self._known else None

    async def read(
        self, dialogue: Dialogue, hear: Callable[[int, bytes, str], None]
    ) -> tuple[bytes, ...]:
        """All events that are new, oldest first, journalled by now. Raises LinkError, LockSaidNoError.

        `hear` is called with each: kind, grant, name.
        """
        challenge = dialogue.challenge
        if self._known and (
            fault := log_sync.rolled_back(self._position, challenge.event_seq, challenge.log_head)
        ):
            await self._fault(fault)
            self._known, self._position = False, log_sync.start(self._lock_id)
        read: tuple[bytes, ...] = ()
        for _ in range(MAX_PAGES):
            page = await dialogue.page(self._position.seq + 1, MAX_PAGE_EVENTS)
            step = log_sync.take(self._position, page, known=self._known)
            if step.fault:
                await self._fault(step.fault)
            if step.events:
                await self._journal(step)
                read += step.events
                for raw in step.events:
                    event, _ = decode_event(raw)
                    hear(event.kind, event.cti, log_sync.named((raw,)))
            if step.stop or not step.events:
                break
            await self._move_to(step.position)
            position = self._position
            if not await self._acknowledged(dialogue, position):
                break
            if position.seq >= challenge.event_seq and len(page.events) < MAX_PAGE_EVENTS:
                break
        return read

    async def _acknowledged(self, dialogue: Dialogue, position: Position) -> bool:
        try:
            await dialogue.ask(lambda s: client.ack_log(s, position.seq, position.head))
        except LockSaidNoError as exc:
            await self._fault(f"it does not take event {position.seq} as kept: {exc.message}")
            return False
        return True

    async def _journal(self, step: Step) -> None:
        data: dict[str, object] = {
            "lock_id": self._lock_id.hex(),
            "first_seq": step.first_seq,
            "head_before": step.head_before.hex(),
            "head": step.position.head.hex(),
            "events": [raw.hex() for raw in step.events],
        }
        await self._around.tell("lock.log", self._name, log_sync.named(step.events), data)

    async def _fault(self, text: str) -> None:
        self._around.count("lock.log_faults", 1)
        data: dict[str, object] = {
            "lock_id": self._lock_id.hex(),
            "seq": self._position.seq,
            "head": self._position.head.hex(),
        }
        await self._around.tell("lock.log-fault", self._name, text, data)

    async def _move_to(self, position: Position) -> None:
        self._position, self._known = position, True
        if self._place is None:
            return
        try:
            data = msgspec.json.encode({"seq": position.seq, "head": position.head.hex()})
            await asyncio.to_thread(_written, self._place, data)
        except (
            OSError
        ) as exc:  # the journal has it; after a restart the same events are read once more
            self._around.log.warning("%s: cannot remember its log: %s", self._name, exc.strerror)


def _written(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    write_durably(place, data)


def _remembered(place: Path | None) -> Position | None:
    """Where reading ended; None where nobody knows any more."""
    if place is None:
        return None
    try:
        found = msgspec.json.decode(place.read_bytes(), type=dict[str, int | str])
        return Position(int(found["seq"]), bytes.fromhex(str(found["head"])))
    except (OSError, KeyError, ValueError, msgspec.DecodeError):
        return None
