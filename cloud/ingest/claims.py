"""What gateways say was committed, held against the ledger: after a restore from a backup the cloud lacks some of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cloud.ingest.ledger import Ledger
from cloud.ingest.neighbours import Numbers
from cloud.stores import Store
from tocsin.contract.messages import MAX_RANGES, StreamState
from tocsin.contract.ranges import RangeSet
from tocsin.errors import StoreUnavailableError

LOOK_EVERY_NS = 60_000_000_000  # at the health of one gateway

Lacks = Mapping[str, list[tuple[int, int]]]  # by stream


class Claims:
    """Used from the ingest thread."""

    def __init__(self, ledger: Ledger, store: Store, numbers: Numbers) -> None:
        self._ledger, self._store, self._numbers = ledger, store, numbers
        self._open: dict[str, dict[str, int]] = {}  # gateway -> stream -> committed
        self._looked_mono: dict[str, int] = {}

    def on_resume(self, gateway: str, streams: Iterable[StreamState]) -> None:
        """It is answered in any case."""
        self._open[gateway] = {s.stream: s.committed for s in streams}

    def on_health(self, gateway: str, streams: Iterable[StreamState], now_mono: int) -> set[str]:
        """The streams that call for an answer, looked at once a minute."""
        if now_mono - self._looked_mono.get(gateway, -LOOK_EVERY_NS) < LOOK_EVERY_NS:
            return set()
        self._looked_mono[gateway] = now_mono
        told = {s.stream: s.committed for s in streams}
        lacking = self._ledger.lacking(gateway, told)
        if lacking:
            self._open.setdefault(gateway, {}).update(told)
        return set(lacking)

    def answer(self, gateway: str) -> Lacks:
        """What is lacking of what it claimed since the last answer.

        Others may have stored it in a shared ledger the moment before, and what the gateway gave up nobody has.
        """
        claimed = self._open.pop(gateway, {})
        try:
            if self._store.shared and self._ledger.lacking(gateway, claimed):
                self._ledger.hear(self._store.ledger([gateway]))
            lacking = self._ledger.lacking(gateway, claimed)
            given_up = self._numbers.given_up(gateway) if lacking else {}
        except StoreUnavailableError:
            return {}  # the gateway says it again
        if given_up is None:
            return {}
        left = {
            stream: [
                part for gap in ranges for part in RangeSet(given_up.get(stream, ())).missing(*gap)
            ][:MAX_RANGES]
            for stream, ranges in lacking.items()
        }
        return {stream: ranges for stream, ranges in left.items() if ranges}
