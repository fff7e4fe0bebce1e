"""Evidence kept, and sent to the cloud: one part at a time, at a pace that leaves the line to readings and alarms."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable

from edge.evidence.ring import EvidenceRing
from edge.evidence.views import Views
from edge.evidence.writing import Writing
from tocsin.contract.evidence import (
    MAX_PART_BYTES,
    VERSION,
    EvidencePart,
    decode_ask,
    encode_part,
)
from tocsin.errors import EvidenceError
from tocsin.sdk import Clock

MAX_WAITING = 256
_log = logging.getLogger("edge.evidence")
Publish = Callable[[bytes], Awaitable[None]]


class EvidenceDesk:
    """What waits to be sent is bounded: beyond `MAX_WAITING` the oldest is left to the cloud, which asks again.

    Views for the wall of cameras are sent when no evidence waits; one that a newer one replaced is not sent at all.
    """

    def __init__(
        self,
        ring: EvidenceRing,
        *,
        site: str,
        gateway: str,
        clock: Clock,
        key: Callable[[], bytes],
        say: Callable[[str, str, str, dict[str, object]], None],
        bytes_per_s: int,
    ) -> None:
        self._ring, self._site, self._gateway, self._clock = ring, site, gateway, clock
        self._writing, self._views = Writing(ring), Views()
        self._key, self._say, self._bytes_per_s = key, say, bytes_per_s
        self._waiting: OrderedDict[str, int] = OrderedDict()  # sha256 -> byte to go on from
        self._views_waiting: OrderedDict[str, int] = OrderedDict()
        self._changed, self._sessions = asyncio.Event(), 0
        self._said_unsigned = self._said_refused = self._said_unreadable = False
        self.counters: Counter[str] = Counter()

    async def keep(self, data: bytes) -> str:
        """Its SHA-256 in hex, at once: it can be sent before a slow disk has it. "" when it cannot be kept, said once until it can again."""
        try:
            sha256 = await self._writing.keep(data)
        except EvidenceError as exc:
            if not self._said_refused:
                _log.error("pictures are not kept: %s", exc.message)
            self._said_refused = True
            return ""
        if self._said_refused:
            _log.warning("pictures are kept again")
        self._said_refused = False
        return sha256

    def view(self, camera: str, data: bytes) -> str:
        """Its SHA-256 in hex: in memory, until a newer one of the same camera comes or room is needed for others. "" while nobody is there to be told of it."""
        if not self._sessions:
            return ""
        sha256, gone = self._views.keep(camera, data)
        for name in gone:
            self._views_waiting.pop(name, None)
        return sha256

    def offer(self, sha256: str, offset: int = 0) -> None:
        """Send it when its turn comes; asked for again, it begins where the cloud says."""
        if sha256 in self._views:
            self._views_waiting[sha256] = offset
            self._changed.set()
            return
        self._waiting.pop(sha256, None)
        self._waiting[sha256] = offset
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)
            self.counters["left"] += 1
        self._changed.set()

    async def take(self, payload: bytes) -> None:
        """A message from `down/evidence`; a wrong one is counted and harms nothing."""
        try:
            ask = decode_ask(payload, self._key())
        except ValueError as exc:
            self.counters["asks_refused"] += 1
            if not self._said_unsigned:
                _log.warning("an ask for evidence is refused: %s", exc)
            self._said_unsigned = True
            return
        if (ask.v, ask.site, ask.gateway) != (VERSION, self._site, self._gateway):
            self.counters["asks_refused"] += 1
            return
        self.counters["asks"] += 1
        self.offer(ask.sha256, ask.offset)

    async def run(self, publish: Publish) -> None:
        """Send until the session ends; what was on its way then is sent again from the same byte."""
        self._sessions += 1
        try:
            while True:
                while not (waiting := self._waiting or self._views_waiting):
                    self._changed.clear()
                    await self._changed.wait()
                sha256, offset = next(iter(waiting.items()))
                sent = await self._part(waiting, sha256, offset, publish)
                await self._clock.sleep(sent / self._bytes_per_s)
        finally:
            self._sessions -= 1

    async def _part(
        self, waiting: OrderedDict[str, int], sha256: str, offset: int, publish: Publish
    ) -> int:
        try:
            found = self._views.read(sha256, offset, MAX_PART_BYTES)
            if found is None:
                found = self._writing.read(sha256, offset, MAX_PART_BYTES)
            if found is None:
                found = await asyncio.to_thread(self._ring.read, sha256, offset, MAX_PART_BYTES)
        except EvidenceError as exc:  # never told as gone, which the cloud believes for good
            waiting.pop(sha256, None)
            self.counters["unreadable"] += 1
            if not self._said_unreadable:
                _log.error("pictures cannot be read, and are left to be asked for again: %s", exc)
            self._said_unreadable = True
            return 0
        self._said_unreadable = False
        if found is None:
            waiting.pop(sha256, None)
            self.counters["gone"] += 1
            text = "asked for, and not kept any more"
            self._say("evidence.gone", "", text, {"sha256": sha256})
            return 0
        size, data = found
        if not data:
            waiting.pop(sha256, None)
            return 0
        part = EvidencePart(VERSION, self._site, self._gateway, sha256, offset, size, data)
        payload = encode_part(part)
        await publish(payload)
        self.counters["parts"] += 1
        self.counters["bytes"] += len(payload)
        if waiting.get(sha256) == offset:  # not asked for anew meanwhile
            if offset + len(data) >= size:
                waiting.pop(sha256)
                self.counters["sent"] += 1
            else:
                waiting[sha256] = offset + len(data)
        return len(payload)
