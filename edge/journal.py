"""What the agent needs of the outbox: the order in which things become durable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from edge.outbox.committer import Polled
from edge.outbox.held import HeldPart
from tocsin.contract.columns import Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import Alarm, ClockState, Event

Told: TypeAlias = tuple[str, str, str, dict[str, object]]  # an event: kind, device, text, data


class Journal(Protocol):
    """The outbox as its writers see it."""

    async def put_rows(self, rows: Sequence[Row], *, stamped: bool = True) -> None:
        """Keep rows; waits while the buffer is full. Those not `stamped` have monotonic times and are held."""
        ...

    async def offer_rows(
        self, rows: Sequence[Row], held: Sequence[Row], polled: Polled | None = None
    ) -> bool:
        """`put_rows` for both; False, and nothing taken, when the disk refuses and no more rows may wait for it.

        `polled` are those of both that no source sends again (None: all).
        """
        ...

    def shed(self, rows: Sequence[Row], *, stamped: bool = True) -> None:
        """Give up rows that found no room; a gap marker will tell of them."""
        ...

    @property
    def refuses(self) -> bool:
        """Whether the disk refused what it was given last."""
        ...

    async def put_rows_durable(self, rows: Sequence[Row]) -> None:
        """Keep rows; returns after the commit of these and all before them."""
        ...

    @property
    def holds(self) -> int:
        """Rows held until the time is known."""
        ...

    async def held_ends(self) -> list[tuple[str, int]]:
        """(power-on, its last monotonic time) of the held rows, oldest first."""
        ...

    async def first_held(self) -> HeldPart | None:
        """The oldest held rows."""
        ...

    async def release(self, held: HeldPart, rows: Sequence[Row]) -> None:
        """Keep what held rows became; returns after the commit."""
        ...

    async def put_alarms(
        self,
        drafts: Sequence[AlarmDraft],
        states: Mapping[str, str] | None = None,
        n: int = 0,
        *,
        all_of_them: bool = False,
    ) -> list[Alarm]:
        """Keep alarm transitions and what became of their states by name ("": ended), all or none, durably.

        `n` tells which of two places has the newer states; no others are kept if these are `all_of_them`.
        """
        ...

    async def alarm_states(self) -> tuple[list[str], int]:
        """The kept states and their `n`; 0 when none was ever kept."""
        ...

    async def put_event(
        self,
        kind: str,
        device: str = "",
        text: str = "",
        data: dict[str, object] | None = None,
        *,
        order: tuple[str, str] | None = None,
    ) -> Event:
        """Keep an event; returns after its commit. With it the note of an open command is replaced ("": dropped)."""
        ...

    async def put_events(self, told: Sequence[Told]) -> list[Event]:
        """Keep events, all or none; returns after their commit."""
        ...

    async def remember_command(self, command_id: str, expires_ns: int, note: str = "") -> None:
        """Keep the id of a command that is about to be carried out, and a note of it until its result is told."""
        ...

    def set_clock_state(self, state: ClockState, epoch: int) -> None:
        """What is kept from now on says so of the gateway's clock."""
        ...
