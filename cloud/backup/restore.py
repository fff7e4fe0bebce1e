"""Restoring into an empty folder: copied beside, checked there, and moved into place when everything is right."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import duckdb
import msgspec

from cloud.backup.files import copy_hashed, sync_folders
from cloud.backup.manifest import Manifest, SavedState, SavedStore
from cloud.backup.source import Progress
from cloud.backup.state import FILE as STATE
from cloud.backup.state import check_revision, look_at
from cloud.backup.unfinished import UNFINISHED
from cloud.backup.verify import damaged, foreign
from cloud.stores.local.cold_files import Step
from cloud.stores.local.snapshot import digest
from cloud.stores.local.store import LocalStore
from tocsin.errors import BackupError, FolderError, StoreError

_OURS = {UNFINISHED, "store", STATE}


class Compared(msgspec.Struct, frozen=True):
    """Rows of one table, as the manifest tells and as they are found after the restore."""

    part: str
    name: str
    backup: int
    restored: int


def restore(
    backup: Path, manifest: Manifest, data: Path, progress: Progress, step: Step = lambda _: None
) -> list[Compared]:
    """Make `data` what the backup holds; rows by table, which are equal.

    Raises:
        BackupError: the backup is damaged or newer, or `data` is not empty; nothing is in place.
        FolderError: `data` cannot be written.
    """
    if manifest.state is not None:
        check_revision(manifest.state)
    try:
        part = _empty_folder(data)
        step("begun")
        wrong = foreign(backup, manifest)
        for n, file in enumerate(manifest.files, 1):
            if n % 100 == 0:
                progress(f"{n} of {len(manifest.files)} files")
            try:
                if copy_hashed(backup / file.path, part / file.path) != file.sha256:
                    wrong.append(f"{file.path} is not as it was")
            except FileNotFoundError:
                wrong.append(f"{file.path} is missing")
            step("file")
        try:
            compared = [] if wrong else _compare(manifest, part, progress)
        except BackupError:
            _remove(data)
            raise
        wrong += [
            f"{c.part} {c.name}: {c.backup} in the manifest, {c.restored} found"
            for c in compared
            if c.backup != c.restored
        ]
        if wrong:
            _remove(data)
            raise damaged(backup, wrong)
        sync_folders(part)
        step("checked")
        for name in ("store", STATE):
            if (part / name).exists():
                (part / name).rename(data / name)
                step(f"{name} in place")
        sync_folders(data)
        part.rmdir()
        step("finished")
    except OSError as exc:
        raise FolderError(
            f"the restore into {data} stopped at {exc.filename or data}: {exc.strerror or exc}",
            hint="is there room, and may you write there?",
        ) from exc
    return compared


def _empty_folder(data: Path) -> Path:
    """The folder in `data` to copy into. What an unfinished restore left there goes first."""
    if data.exists() and not data.is_dir():
        raise BackupError(
            f"{data} is a file",
            hint="--data names the new data_dir: an empty folder, or one to be made",
        )
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = {path.name for path in data.iterdir()}
    if UNFINISHED in there and there <= _OURS:
        _remove(data)
    elif there:
        raise BackupError(
            f"{data} is not empty: {', '.join(sorted(there)[:5])}",
            hint="restore into an empty folder, then name it in cloud.toml",
        )
    (data / UNFINISHED).mkdir(mode=0o700)
    return data / UNFINISHED


def _remove(data: Path) -> None:
    """All of ours, the mark of an unfinished restore last."""
    for name in ("store", STATE, UNFINISHED):
        path = data / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _compare(manifest: Manifest, part: Path, progress: Progress) -> list[Compared]:
    progress("counting")
    compared: list[Compared] = []
    if manifest.store is not None:
        compared += _compare_store(manifest.store, part / "store")
    if manifest.state is not None:
        compared += _compare_state(manifest.state, part / STATE)
    return compared


def _compare_store(told: SavedStore, directory: Path) -> list[Compared]:
    try:
        store = LocalStore(directory)
        try:
            rows = {name: _count(store, name) for name in store.tables()}
            settled = store.ledger()
        finally:
            store.close()
    except (StoreError, duckdb.Error) as exc:
        raise BackupError(f"the store in the backup cannot be opened: {exc}") from exc
    names = sorted({*told.rows, *rows})
    found = [
        Compared(
            "store",
            name,
            told.rows[name].hot + told.rows[name].cold if name in told.rows else 0,
            rows.get(name, 0),
        )
        for name in names
    ]
    numbers = sum(ranges.count for ranges, _ in settled.values())
    if digest(settled) != told.ledger and numbers == told.numbers:
        raise BackupError("the ledger in the backup is not the one of its manifest")
    return [*found, Compared("ledger", "sequence numbers", told.numbers, numbers)]


def _count(store: LocalStore, name: str) -> int:
    quoted = name.replace('"', '""')
    (cell,) = store.query(f'SELECT count(*) FROM "{quoted}"').data[0]  # noqa: S608 - quoted
    return int(cell) if isinstance(cell, int) else -1


def _compare_state(told: SavedState, path: Path) -> list[Compared]:
    try:
        rows = look_at(path).rows
    except sqlite3.Error as exc:
        raise BackupError(f"the state database in the backup cannot be read: {exc}") from exc
    path.chmod(0o600)
    return [
        Compared("state", name, told.rows.get(name, 0), rows.get(name, 0))
        for name in sorted({*told.rows, *rows})
    ]
