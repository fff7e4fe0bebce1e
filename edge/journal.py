"""What the agent needs of the outbox: the order in which things become durable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tocsin.contract.columns import Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import Alarm, ClockState, Event


class Journal(Protocol):
    """The outbox as its writers see it."""

    async def put_rows(self, rows: Sequence[Row]) -> None:
        """Keep rows; waits while the buffer is full."""
        ...

    async def put_alarm(self, draft: AlarmDraft) -> Alarm:
        """Keep an alarm transition; returns after its commit."""
        ...

    async def put_event(
        self, kind: str, device: str = "", text: str = "", data: dict[str, object] | None = None
    ) -> Event:
        """Keep an event; returns after its commit."""
        ...

    def set_clock_state(self, state: ClockState, epoch: int) -> None:
        """What is kept from now on says so of the gateway's clock."""
        ...
