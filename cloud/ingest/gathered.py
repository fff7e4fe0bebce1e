"""One group commit in the making."""

from __future__ import annotations

from dataclasses import dataclass, field

from cloud.ingest.stamps import Stored
from cloud.link import Received
from cloud.stores import Block, LedgerEntry


@dataclass(slots=True)
class Gathered:
    """What is decoded and not yet stored, and whom to tell when it is."""

    messages: list[Received] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    late: list[Block] = field(default_factory=list)
    origins: dict[int, Received] = field(default_factory=dict)  # id(block) -> its message
    entries: list[LedgerEntry] = field(default_factory=list)
    events: list[Block] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    fills: list[Block] = field(default_factory=list)  # values for rows that are stored
    rows: int = 0
    size: int = 0
    since_mono: int = 0
    told: dict[str, set[str]] = field(default_factory=dict)  # gateway -> streams to acknowledge

    @property
    def any(self) -> bool:
        """Whether there is something to commit or to tell."""
        return bool(self.messages or self.entries or self.told)
