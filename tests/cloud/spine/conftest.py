"""A spine process on a real broker and the real embedded store."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.cloud.spine.running import GATEWAY, LAYOUT, SpineProcess
from tocsin.broker import Account, ChildBroker
from tocsin.contract.columns import Row

Make = Callable[..., AbstractContextManager[SpineProcess]]


@pytest.fixture
def spine_on(tmp_path: Path) -> Make:
    @contextlib.contextmanager
    def make(broker: ChildBroker, more: str = "") -> Iterator[SpineProcess]:
        spine = SpineProcess(tmp_path, broker, more)
        try:
            spine.start()
            yield spine
        finally:
            spine.close()

    return make


@pytest.fixture
def gateway_account() -> Account:
    return GATEWAY


Scan = Callable[[int, int], list[Row]]


@pytest.fixture
def scan() -> Scan:
    """`scan(n, at)`: n rows whose first value is their running number, from `at`."""
    return _scan


def _scan(n: int, at: int) -> list[Row]:
    now = time.time_ns() // 1_000_000 * 1_000_000
    return [Row(LAYOUT, now + i * 1000, (float(at + i), 20.9, 0.5, None)) for i in range(n)]
