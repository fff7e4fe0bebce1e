"""What one message from a gateway turns into."""

from __future__ import annotations

from dataclasses import dataclass, field

from cloud.stores import Block, LedgerEntry
from tocsin.contract.evidence import EvidencePart
from tocsin.contract.messages import Alarm, Event, Health, Resume
from tocsin.errors import WireReason


@dataclass(frozen=True, slots=True)
class Letter:
    """Something that cannot be stored, and why. `lo`..`hi` are the sequence numbers it had, if any were readable."""

    reason: WireReason
    detail: str
    stream: str = ""
    lo: int = 0
    hi: int = 0
    device: str = ""
    quantity: str = ""


@dataclass(slots=True)
class Decoded:
    """The parts of one message. `blocks` move last values, `late` (an implausible time) never do."""

    kind: str = ""
    site: str = ""
    gateway: str = ""
    stream: str = ""
    blocks: list[Block] = field(default_factory=list)
    late: list[Block] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)
    again: list[LedgerEntry] = field(default_factory=list)  # stored, or on their way, already
    letters: list[Letter] = field(default_factory=list)
    alarm: Alarm | None = None
    event: Event | None = None
    health: Health | None = None
    resume: Resume | None = None
    part: EvidencePart | None = None
    online: bool | None = None
    rows: int = 0
    first_ns: int | None = None  # the rows' times reach from here ...
    last_ns: int = 0  # ... to here
    counts: dict[str, int] = field(default_factory=dict)

    def span(self, first_ns: int, last_ns: int) -> None:
        """Rows of these times are in it."""
        self.first_ns = first_ns if self.first_ns is None else min(self.first_ns, first_ns)
        self.last_ns = max(self.last_ns, last_ns)

    def count(self, name: str, n: int = 1) -> None:
        """Add to a counter of the ingester."""
        if n:
            self.counts[name] = self.counts.get(name, 0) + n
