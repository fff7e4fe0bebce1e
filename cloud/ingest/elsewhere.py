"""What an ingester beside the cloud leaves to the cloud: gateways and devices, their health, answers to commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cloud.audit.book import AuditBook
from cloud.ingest.stamps import Stored
from cloud.stores import Block
from tocsin.contract.messages import Event, Health, StreamState


class Elsewhere:
    """In place of `Presence`: the cloud hears of all this itself."""

    def on_health(self, health: Health, received_ns: int, now_mono: int) -> None: ...

    def on_state(self, gateway: str, online: bool, now_mono: int) -> None: ...

    def on_announced(self, event: Event, received_ns: int, now_mono: int) -> None: ...

    def keep(self) -> None: ...

    def on_removed(self, gateway: str, device: str) -> None: ...

    def on_stored(self, blocks: Iterable[Block], received_ns: int, now_mono: int) -> None: ...


class MarksOnly:
    """In place of `AuditBook`: the cloud hears what gateways say they have; when rows were, only who stores them knows."""

    def __init__(self, book: AuditBook) -> None:
        self._book = book

    def on_health(self, health: Health, received_ns: int) -> None: ...

    def on_streams(
        self, gateway: str, streams: Sequence[StreamState], received_ns: int
    ) -> None: ...

    def on_stored(self, stored: Sequence[Stored]) -> None:
        """These are durable."""
        self._book.on_stored(stored)

    def given_up(self, gateway: str) -> None:
        """The cloud asks gateways for what is lacking."""
