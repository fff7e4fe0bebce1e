"""What an ingest thread is told of cloud.toml."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.config import CloudConfig


@dataclass(frozen=True)
class IngestOptions:
    """See `[ingest]` of cloud.toml."""

    name: str
    commit_ms: int = 200
    commit_rows: int = 20_000
    max_future_s: float = 300.0
    queue_bytes: int = 64 << 20


def ingest_options(config: CloudConfig) -> IngestOptions:
    """The same for a cloud and for an ingester beside it."""
    ingest = config.ingest
    return IngestOptions(
        config.cloud.name,
        ingest.commit_ms,
        ingest.commit_rows,
        ingest.max_future_s,
        ingest.queue_bytes,
    )
