"""The ledger of InfluxDB survives, and stays small."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text

from cloud.db import open_engine, read, upgrade
from cloud.stores import LedgerEntry
from cloud.stores.influx.keeper import SqlLedger
from cloud.stores.influx.tables import influx_ledger
from tests.cloud.stores.blocks import STREAM
from tocsin.contract.ids import ulid
from tocsin.contract.ranges import RangeSet
from tocsin.errors import StoreUnavailableError


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    opened = open_engine(tmp_path_factory.mktemp("state") / "state.db")
    upgrade(opened)
    yield opened
    opened.dispose()


spans = st.tuples(st.integers(0, 40), st.integers(1, 8), st.booleans())


@given(commits=st.lists(st.lists(spans, max_size=4), max_size=8))
def test_it_holds_what_ranges_in_memory_hold(
    engine: Engine, commits: list[list[tuple[int, int, bool]]]
) -> None:
    name = ulid(time.time_ns())  # each example starts with nothing
    settled, rejected, stored = RangeSet(), RangeSet(), RangeSet()
    keeper = SqlLedger(engine)
    for commit in commits:
        keeper.append([LedgerEntry(name, STREAM, lo, lo + n, bad) for lo, n, bad in commit])
        for lo, n, bad in commit:
            settled.add(lo, lo + n)
            (rejected if bad else stored).add(lo, lo + n)
    for lo, hi in stored:  # a dead letter that was requeued is rejected no more
        rejected.remove(lo, hi)
    found = SqlLedger(engine).load().get((name, STREAM), (RangeSet(), RangeSet()))
    assert [list(r) for r in found] == [list(settled), list(rejected)]


def test_ranges_that_touch_are_one_row(engine: Engine) -> None:
    keeper = SqlLedger(engine)
    for first in range(0, 5000, 100):
        keeper.append([LedgerEntry("gw-rows", STREAM, first, first + 100)])
    with read(engine) as connection:
        mine = select(func.count()).where(influx_ledger.c.gateway == "gw-rows")
        assert connection.execute(mine).scalar_one() == 1


def test_a_state_database_that_takes_nothing_is_an_unavailable_store(tmp_path: Path) -> None:
    opened = open_engine(tmp_path / "state.db")
    upgrade(opened)
    with opened.begin() as connection:
        connection.execute(text("DROP TABLE influx_ledger"))
    with pytest.raises(StoreUnavailableError):
        SqlLedger(opened).append([LedgerEntry("gw-1", STREAM, 0, 1)])
    opened.dispose()
