"""What each fsync policy asks of the disk, and when."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from edge.outbox import database, store
from tests.edge.outbox.test_outbox import alarm, opened, rows


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the outbox had which file synced by name; SQLite's own syncs follow its `synchronous` setting."""
    found = Counter[str]()
    really = os.fdatasync

    def fdatasync(fd: int) -> None:
        found[Path(f"/proc/self/fd/{fd}").readlink().name] += 1
        really(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return found


@pytest.mark.parametrize(
    ("fsync", "level", "urgent"),
    [("none", 0, 0), ("batch", 1, 1), ("always", 2, 0)],
)
async def test_the_policy_is_what_sqlite_and_the_disk_are_asked_for(
    tmp_path: Path,
    syncs: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
    fsync: str,
    level: int,
    urgent: int,
) -> None:
    """`always`: SQLite syncs the log at every commit itself (synchronous = FULL); `batch`: it does so at checkpoints."""
    monkeypatch.setattr(store, "_SYNC_EVERY_S", 3_600.0)
    async with opened(tmp_path, fsync=fsync) as outbox:
        (found,) = outbox._store.db.execute("PRAGMA synchronous").fetchone()
        assert found == level
        await outbox.put_rows_durable(rows(1))
        log = "outbox.db-wal"
        begun = syncs[log]
        assert begun >= 1, "that the file is in use is made durable in any case"
        for start in range(1, 20):
            await outbox.put_rows_durable(rows(1, start))
        assert syncs[log] == begun
        await outbox.put_alarms([alarm(1)])
        await outbox.put_event("note")
        await outbox.remember_command("c1", 1 << 62)
        assert syncs[log] == begun + 3 * urgent


async def test_batch_has_telemetry_synced_once_in_its_interval(
    tmp_path: Path, syncs: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, fsync="batch") as outbox:
        monkeypatch.setattr(store, "_SYNC_EVERY_S", 0.0)
        for start in range(5):
            await outbox.put_rows_durable(rows(1, start))
        assert syncs["outbox.db-wal"] >= 5


async def test_batch_has_a_gap_marker_synced_before_it_can_be_sent(
    tmp_path: Path, syncs: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_SYNC_EVERY_S", 3_600.0)
    async with opened(tmp_path, fsync="batch", max_bytes=1 << 20) as outbox:
        await outbox.put_rows_durable(rows(1))
        begun, start = syncs["outbox.db-wal"], 1
        while not outbox.stats().dropped_rows:
            assert syncs["outbox.db-wal"] == begun
            await outbox.put_rows_durable(rows(2_500, start))
            start += 2_500
        assert syncs["outbox.db-wal"] > begun


async def test_an_alarms_commit_leaves_the_log_to_the_next_commit_of_telemetry(
    tmp_path: Path,
) -> None:
    """Folding the log into the file takes two more syncs, and people wait for the alarm."""
    file, log = tmp_path / "outbox.db", tmp_path / "outbox.db-wal"
    async with opened(tmp_path) as outbox:
        before, number = file.stat().st_size, 0
        while log.stat().st_size < (database.LOG_PAGES + 100) * 4096:
            number += 1
            await outbox.put_alarms([alarm(number)])
        assert file.stat().st_size == before
        await outbox.put_rows_durable(rows(1))
        assert file.stat().st_size > before


async def test_a_log_of_alarms_alone_does_not_grow_without_end(tmp_path: Path) -> None:
    file, log = tmp_path / "outbox.db", tmp_path / "outbox.db-wal"
    async with opened(tmp_path) as outbox:
        before, number = file.stat().st_size, 0
        while file.stat().st_size == before:
            number += 1
            await outbox.put_alarms([alarm(number)])
            assert log.stat().st_size < (database.URGENT_LOG_PAGES + 100) * 4200
