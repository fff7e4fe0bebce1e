"""One group commit in the making."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cloud.ingest.joined import Joined, weight
from cloud.ingest.refusals import Origin
from cloud.ingest.stamps import Stored
from cloud.link import Received
from cloud.stores import Block, LedgerEntry


def weight_of_block(block: Block) -> int:
    """Bytes it takes, about."""
    columns = (*block.columns.values(), *block.raw.values())
    types = "".join(column.type for column in columns)
    return weight(types, [column.values for column in columns], len(block.seq))


@dataclass(slots=True)
class Gathered:
    """What is decoded and not yet stored, and whom to tell when it is."""

    messages: list[Received] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    late: list[Block] = field(default_factory=list)
    origins: dict[int, Origin] = field(default_factory=dict)  # by id(block)
    joined: Joined = field(default_factory=Joined)  # plain telemetry, not yet in blocks
    entries: list[LedgerEntry] = field(default_factory=list)
    events: list[Block] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    fills: list[Block] = field(default_factory=list)  # values for rows that are stored
    rows: int = 0
    size: int = 0
    weight: int = 0  # bytes of what is decoded, about
    since_mono: int = 0
    again: list[LedgerEntry] = field(default_factory=list)  # came though they are stored
    told: dict[str, set[str]] = field(default_factory=dict)  # gateway -> streams to acknowledge

    def came_in(self, blocks: Iterable[Block], message: Received) -> None:
        """These blocks are of one message."""
        origin = (0,), (message,)
        for block in blocks:
            self.origins[id(block)] = origin
            self.weight += weight_of_block(block)

    def close(self) -> None:
        """Make blocks and ledger entries of what is joined."""
        joined, self.joined = self.joined, Joined()
        for block, starts, messages in joined.blocks():
            self.blocks.append(block)
            self.origins[id(block)] = starts, messages
        self.weight += joined.weight
        self.stored += joined.stored()
        self.entries += joined.entries()

    @property
    def any(self) -> bool:
        """Whether there is something to commit or to tell."""
        return bool(self.messages or self.entries or self.told)
