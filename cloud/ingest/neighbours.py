"""Whom the ingest thread tells what it hears, and who carries its answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from cloud.ingest.stamps import Stored
from cloud.link import Received
from cloud.stores import Block
from tocsin.contract.messages import Event, Health, StreamState


class Answers(Protocol):
    """Who waits for answers of gateways; durable before it returns."""

    def on_event(self, event: Event, received_ns: int) -> None:
        """An event that may answer a command."""
        ...


class Numbers(Protocol):
    """Who keeps account of sequence numbers beside the ledger."""

    def on_health(self, health: Health, received_ns: int) -> None:
        """What a gateway says it still has."""
        ...

    def on_streams(self, gateway: str, streams: Sequence[StreamState], received_ns: int) -> None:
        """The same, as it connects."""
        ...

    def on_stored(self, stored: Sequence[Stored]) -> None:
        """These are durable."""
        ...

    def given_up(self, gateway: str) -> Mapping[str, Sequence[tuple[int, int]]] | None:
        """By stream the numbers a gateway said it gave up; None where it is another's to ask for what is lacking.

        Raises:
            StoreUnavailableError: it cannot be read; try again later.
        """
        ...


class Heard(Protocol):
    """Who keeps what is known of gateways and devices: see `Presence`."""

    def on_health(self, health: Health, received_ns: int, now_mono: int) -> None: ...

    def on_state(self, gateway: str, online: bool, now_mono: int) -> None: ...

    def on_announced(self, event: Event, received_ns: int, now_mono: int) -> None: ...

    def keep(self) -> None: ...

    def on_removed(self, gateway: str, device: str) -> None: ...

    def on_stored(self, blocks: Iterable[Block], received_ns: int, now_mono: int) -> None: ...


class Wire(Protocol):
    """The link as the ingester uses it."""

    def ack(self, *messages: Received) -> None: ...

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> bool: ...
