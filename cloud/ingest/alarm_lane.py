"""Alarms go ahead in a thread of their own: kept and told while the ingest thread may wait for the store."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Protocol

from cloud.ingest.decode import decode
from cloud.link import Handover, Received
from tocsin.contract.messages import Alarm
from tocsin.errors import StoreUnavailableError

IDLE_S = 0.5
RETRY_S = 0.5


class AlarmSink(Protocol):
    """Who keeps alarms; durable before it returns."""

    def mirror(self, alarm: Alarm, received_ns: int) -> bool:
        """A transition at a gateway; whether it is news.

        Raises:
            StoreUnavailableError: it is not kept; try again later.
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
            for message in self._handover.take_alarms(IDLE_S):
                if not self._keep(message):
                    return
                self._handover.pass_on(message)

    def _keep(self, message: Received) -> bool:
        """Until it is kept; False when told to stop before."""
        alarm = decode(message.topic, message.payload, message.received_ns, self, 0).alarm
        if alarm is None:
            return True  # the ingest thread finds out why, and keeps a letter
        said = False
        while not self._stop.is_set():
            try:
                news = self._alarms.mirror(alarm, message.received_ns)
            except StoreUnavailableError as exc:
                if not said:
                    self._log.warning("alarms wait: %s", exc.message)
                said = True
                self._stop.wait(RETRY_S)
                continue
            if said:
                self._log.warning("alarms are kept again")
            self.counts["alarms" if news else "alarms_told_again"] += 1
            return True
        return False
