"""Writing, new columns, upkeep and backups of one store at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from cloud.stores import Column, LedgerEntry
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.retention import Retention
from cloud.stores.local.snapshot import Taken
from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import STREAM, T0, block
from tocsin.testing import wait_until_sync

ROUNDS = 20
STEP_NS = 40 * 10**9  # rows of ten days in a second or two


def numbers_in(taken: Taken) -> int:
    """Rows of the snapshot, hot and cold, without bins."""
    with duckdb.connect(str(taken.hot), read_only=True) as copy:
        (hot,) = copy.execute("SELECT count(*) FROM recent.gas").fetchall()[0]
        (cold,) = copy.execute(
            "SELECT coalesce(sum(rows), 0) FROM meta.cold WHERE measurement = 'gas'"
        ).fetchall()[0]
    return int(hot) + int(cold)


@pytest.mark.release
def test_snapshots_are_of_one_moment_whatever_goes_on_beside_them(tmp_path: Path) -> None:
    options = LocalOptions(hot_hours=1, retention=Retention(minute_days="forever"))
    store = LocalStore(tmp_path, options)
    stop = threading.Event()
    failed: list[BaseException] = []
    done = {"rows": 0, "rounds": 0, "snapshots": 0}

    def writes() -> None:
        n = done["rows"]
        columns = {
            f"c{n // 2000 % 50}": Column("f", np.ones(200)),
            "h2s": Column("f", np.ones(200)),
        }
        store.write(
            [block(columns, first=n, rows=200, step_ns=STEP_NS)],
            [LedgerEntry("gw-1", STREAM, n, n + 200)],
        )
        done["rows"] += 200

    def looks_after() -> None:
        store.look_after(T0 + done["rows"] * STEP_NS)
        done["rounds"] += 1

    def takes() -> None:
        snapshot = store.snapshot()
        try:
            taken = snapshot.take()
            assert numbers_in(taken) == taken.numbers
            assert all((taken.store / path).exists() for path in taken.cold)
        finally:
            snapshot.release()
        done["snapshots"] += 1

    def until_stopped(work: Callable[[], None]) -> None:
        try:
            while not stop.wait(0.05):
                work()
        except BaseException as exc:
            failed.append(exc)
            raise

    writes()
    threads = [
        threading.Thread(target=until_stopped, args=(w,)) for w in (writes, looks_after, takes)
    ]
    for thread in threads:
        thread.start()
    try:
        wait_until_sync(lambda: failed or min(done["rounds"], done["snapshots"]) >= ROUNDS, 120.0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert store.query("SELECT count(*), count(DISTINCT seq) FROM gas").data == [[done["rows"]]] * 2
    store.close()
