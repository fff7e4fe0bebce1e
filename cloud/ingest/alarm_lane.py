"""Alarms go ahead in a thread of their own: kept and told while the ingest thread may wait for the store."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from cloud.ingest.decode import decode
from cloud.link import Handover, Received
from tocsin.contract.messages import Alarm
from tocsin.errors import StoreUnavailableError

IDLE_S = 0.5
AT_ONCE = 64  # alarms in one commit; whoever else writes waits for no more
RETRY_S = 0.5


class AlarmSink(Protocol):
    """Who keeps alarms; durable before it returns."""

    def mirror_all(self, told: Sequence[tuple[Alarm, int]]) -> int:
        """Transitions at gateways with when they came (ns), all or none; how many are news.

        Raises:
            StoreUnavailableError: none is kept; try again later.
        """
        ...


class AlarmLane:
    """`run` in a thread of its own until `stop`. Each message is passed on to the ingest thread, which settles it."""

    def __init__(
        self, sites: dict[str, str], handover: Handover, alarms: AlarmSink, log: logging.Logger
    ) -> None:
        self._sites, self._handover, self._alarms, self._log = sites, handover, alarms, log
        self._stop = threading.Event()
        self.counts: Counter[str] = Counter()

    def site_of(self, gateway: str) -> str | None:
        """The registered site of a gateway."""
        return self._sites.get(gateway)

    def missing(self, gateway: str, stream: str, lo: int, hi: int) -> list[tuple[int, int]]:
        """Everything is judged; the book knows what it has seen."""
        return [(lo, hi)]

    def stop(self) -> None:
        """End; what waits stays unacknowledged. From any thread."""
        self._stop.set()
        self._handover.wake()

    def run(self) -> None:
        """The thread."""
        while not self._stop.is_set():
            messages = self._handover.take_alarms(IDLE_S)
            for at in range(0, len(messages), AT_ONCE):
                if not self._keep(messages[at : at + AT_ONCE]):
                    return
                for message in messages[at : at + AT_ONCE]:
                    self._handover.pass_on(message)

    def _keep(self, messages: Sequence[Received]) -> bool:
        """Until they are kept; False when told to stop before."""
        told: list[tuple[Alarm, int]] = []
        for m in messages:
            alarm = decode(m.topic, m.payload, m.received_ns, self, 0).alarm
            if alarm is not None:  # else the ingest thread finds out why, and keeps a letter
                told.append((alarm, m.received_ns))
        if not told:
            return True
        said = False
        while not self._stop.is_set():
            try:
                news = self._alarms.mirror_all(told)
            except StoreUnavailableError as exc:
                if not said:
                    self._log.warning("alarms wait: %s", exc.message)
                said = True
                self._stop.wait(RETRY_S)
                continue
            if said:
                self._log.warning("alarms are kept again")
            self.counts["alarms"] += news
            self.counts["alarms_told_again"] += len(told) - news
            return True
        return False
