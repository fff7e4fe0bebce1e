"""Throw-away brokers with accounts."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tocsin.broker import Account, ChildBroker, Kind, ListenerTls
from tocsin.broker.child import MAX_QUEUED_BYTES

INGESTER = Account("ingest-0", "ingest-0-password", "ingester")


@contextlib.contextmanager
def throwaway_broker(
    kind: Kind = "auto",
    *,
    accounts: Sequence[Account] = (),
    directory: Path | None = None,
    tls: ListenerTls | None = None,
    autosave_s: int = 1,
    max_queued_bytes: int = MAX_QUEUED_BYTES,
) -> Iterator[ChildBroker]:
    """A running broker on a free port of loopback with `accounts` and `INGESTER`; stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="tocsin-broker-") as made:
        broker = ChildBroker(
            kind,
            directory or Path(made),
            accounts=[INGESTER, *accounts],
            tls=tls,
            autosave_s=autosave_s,
            max_queued_bytes=max_queued_bytes,
        )
        with broker:
            yield broker
