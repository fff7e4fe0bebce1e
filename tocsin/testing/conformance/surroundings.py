"""A driver's surroundings that remember what it does, and can be as full as a pipeline whose disk is slow."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tocsin.errors import DriverError
from tocsin.sdk import DriverContext, Sample, SystemClock


class Surroundings:
    """What the agent would see of one driver. While `gate` is closed nothing is taken: `emit` and `keep` wait."""

    def __init__(self, name: str) -> None:
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()
        self.up: set[str] = set()
        self.errors: list[tuple[str, DriverError]] = []
        self.waiting = 0
        self.most_waiting = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.context = DriverContext(
            name=name,
            clock=SystemClock(),
            log=logging.getLogger(f"conformance.{name}"),
            emit=self._emit,
            keep=self._keep,
            available=self.up.add,
            unavailable=lambda device, error: self.errors.append((device, error)),
            count=lambda counter, n: self.counts.update({counter: n}),
        )

    async def _emit(self, sample: Sample) -> None:
        await self._keep([sample])

    async def _keep(self, samples: Sequence[Sample]) -> None:
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            await self.gate.wait()
            self.samples.extend(samples)
        finally:
            self.waiting -= 1


def open_ports() -> set[str]:
    """Sockets and terminals this process has open, as the kernel names them."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        if entry.name in ("0", "1", "2"):
            continue
        try:
            name = str(entry.readlink())
        except OSError:
            continue  # closed meanwhile
        if name.startswith(("socket:", "/dev/tty", "/dev/pts", "/dev/serial")):
            found.add(f"{entry.name} {name}")
    return found
