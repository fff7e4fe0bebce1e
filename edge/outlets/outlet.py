"""One outlet: takes a copy of each row and hands it on, for ever; its troubles are its own."""

from __future__ import annotations

import logging
import random
from abc import ABC, abstractmethod
from fnmatch import fnmatchcase

from edge.outlets.options import OutletConfig
from edge.outlets.waiting import Waiting
from tocsin.contract.columns import Row
from tocsin.errors import UplinkError
from tocsin.sdk import Clock

_log = logging.getLogger("edge.outlets")
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)


class Outlet(ABC):
    """Rows of devices that fit `config.devices`; unavailable is said once, and once when it works again."""

    def __init__(self, config: OutletConfig, clock: Clock) -> None:
        self.config, self._clock = config, clock
        self.waiting = Waiting(config.queue_rows)
        self.sent = self.refused = 0
        self._wanted: dict[str, bool] = {}
        self._failures = 0

    def hear(self, row: Row) -> None:
        """A row was stored. Never waits."""
        if self.wants(row.layout.device):
            self.waiting.put(row)

    def wants(self, device: str) -> bool:
        """Whether it is for this device."""
        wanted = self._wanted.get(device)
        if wanted is None:
            wanted = any(fnmatchcase(device, pattern) for pattern in self.config.devices)
            self._wanted[device] = wanted
        return wanted

    def take_over(self, before: Outlet) -> None:
        """Go on with what waits for the outlet that this one replaces, and with its counts."""
        self.waiting, self.sent, self.refused = before.waiting, before.sent, before.refused
        self.waiting.limit = self.config.queue_rows

    async def run(self) -> None:
        """Hand on until cancelled."""
        while True:
            try:
                await self.session()
            except UplinkError as exc:
                if self._failures == 0:
                    _log.warning("outlet %s: %s", self.config.name, exc.message)
                pause_s = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
                self._failures += 1
                await self._clock.sleep(pause_s * random.uniform(0.5, 1.0))

    def worked(self, rows: int) -> None:
        """The other side took them."""
        self.sent += rows
        if self._failures:
            _log.warning("outlet %s works again", self.config.name)
            self._failures = 0

    @abstractmethod
    async def session(self) -> None:
        """Hand on until the other side is lost.

        Raises:
            UplinkError: it is lost, or was never there.
        """
