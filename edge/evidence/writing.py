"""Pictures on their way to the disk: an alarm does not wait for it, and they can be sent meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from edge.evidence.ring import EvidenceRing
from tocsin.errors import EvidenceError

DISK_S = 0.2
"""So long a disk may say that it refuses; a picture that takes longer counts as kept."""
MOST_HELD_BYTES = 32 << 20
_log = logging.getLogger("edge.evidence")


class Writing:
    """One thread of its own, so that a disk that hangs holds nothing else. Beyond `MOST_HELD_BYTES` in memory a picture is refused."""

    def __init__(self, ring: EvidenceRing) -> None:
        self._ring = ring
        self._thread = ThreadPoolExecutor(1, "evidence-disk")
        self._held: dict[str, bytes] = {}
        self._said_late = False

    async def keep(self, data: bytes) -> str:
        """Its SHA-256 in hex: on the disk, or in memory until it is there.

        Raises:
            EvidenceError: it is larger than the ring, the disk refuses, or does not keep up.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in self._held:
            return sha256
        if sum(map(len, self._held.values())) + len(data) > MOST_HELD_BYTES and self._held:
            raise EvidenceError("the disk does not keep up with the pictures")
        self._held[sha256] = data
        writing = asyncio.wrap_future(self._thread.submit(self._ring.keep, data))
        writing.add_done_callback(partial(self._written, sha256))
        await asyncio.wait({writing}, timeout=DISK_S)
        if not writing.done():
            writing.add_done_callback(self._late)
            return sha256
        return writing.result()

    def read(self, sha256: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """The size of one that is not on the disk yet, and `length` bytes from `offset` on."""
        data = self._held.get(sha256)
        return None if data is None else (len(data), data[offset : offset + length])

    def _written(self, sha256: str, writing: asyncio.Future[str]) -> None:
        self._held.pop(sha256, None)
        if not writing.cancelled() and writing.exception() is None:
            self._said_late = False

    def _late(self, writing: asyncio.Future[str]) -> None:
        error = None if writing.cancelled() else writing.exception()
        if error is not None and not self._said_late:
            self._said_late = True
            _log.error("a picture was not kept: %s", error)
