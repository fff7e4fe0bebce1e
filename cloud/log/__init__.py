"""Between the broker and the ingesters: a log that holds a message durably until it is stored.

A `Sink` takes messages from the broker, a `Source` hands them to an ingester and forgets each when it is acknowledged.
Without a log the broker is both (`cloud.link`); NATS JetStream is the other kind (`cloud.log.sink`, `cloud.log.source`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cloud.link import Received


@dataclass(frozen=True)
class LogOptions:
    """See `[log]` of cloud.toml."""

    servers: tuple[str, ...]
    name: str
    stream: str = "tocsin"
    lanes: int = 16
    replicas: int = 3
    max_bytes: int = 10 << 30
    duplicate_window_s: float = 120.0
    ack_wait_s: float = 30.0
    max_ack_pending: int = 2000
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class Sink(Protocol):
    """Where a forwarder puts messages."""

    async def keep(self, message: Received) -> None:
        """Returns once it is durable.

        Raises:
            LogUnavailableError: it may not be; try again later.
        """
        ...

    async def aclose(self) -> None:
        """Leave."""
        ...


class Source(Protocol):
    """Where an ingester gets messages from; they arrive in its hand-over until `aclose`."""

    def start(self) -> None:
        """From the event loop."""
        ...

    def ack(self, message: Received) -> None:
        """It is stored, or a dead letter. From any thread."""
        ...

    async def aclose(self) -> None:
        """Leave; what was not acknowledged is handed out again."""
        ...
