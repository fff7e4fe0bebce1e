"""Rows on their way to another system: bounded, the oldest go first, and whoever puts never waits."""

from __future__ import annotations

import asyncio
from collections import deque

from tocsin.contract.columns import Row


class Waiting:
    """A queue between the pipeline and one outlet. `dropped` counts rows that had to go."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rows: deque[Row] = deque()
        self._any = asyncio.Event()
        self.dropped = 0

    def put(self, row: Row) -> None:
        """Take a row; if there is no room, the oldest goes."""
        if len(self._rows) >= self.limit:
            self._rows.popleft()
            self.dropped += 1
        self._rows.append(row)
        self._any.set()

    async def take(self, most: int) -> list[Row]:
        """The oldest rows, up to `most`; waits for the first."""
        while not self._rows:
            self._any.clear()
            await self._any.wait()
        return [self._rows.popleft() for _ in range(min(most, len(self._rows)))]

    def give_back(self, rows: list[Row]) -> None:
        """What could not be sent is first again; what has no room any more goes, the oldest first."""
        room = max(0, self.limit - len(self._rows))
        keep = rows[max(0, len(rows) - room) :]
        self.dropped += len(rows) - len(keep)
        self._rows.extendleft(reversed(keep))

    def __len__(self) -> int:
        return len(self._rows)
