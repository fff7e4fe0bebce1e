"""Making a backup: the store first, the state after it, the manifest last.

The order matters. The ledger says to a gateway: you may forget this. What the ledger vouches for must be in the backup:
rows lie in the same snapshot; alarms, dead letters and answers to commands are committed to the state database before
the ledger counts them, so a state copied after the ledger holds them. What the state holds and the ledger does not yet
count is sent again and recognised.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cloud.backup.files import copy_hashed, hashed, linked, sync_folders
from cloud.backup.manifest import (
    FORMAT,
    NAME,
    PART,
    Manifest,
    SavedFile,
    SavedState,
    SavedStore,
    finished_backups,
    read_manifest,
)
from cloud.backup.source import Progress, Source, held
from cloud.backup.state import FILE as STATE
from cloud.backup.state import copy_state
from cloud.stores.local.cold_files import Step
from cloud.stores.local.snapshot import Taken
from tocsin import __version__
from tocsin.errors import BackupError, FolderError

_Known = dict[tuple[str, int, int], tuple[Path, str]]
SAY_EVERY_S = 2.0


class Made(msgspec.Struct, frozen=True):
    """What `tocsin backup` tells. `new_bytes` were copied or linked from the cloud, the rest from earlier backups.

    `removed`: older backups that went afterwards.
    """

    backup: Path
    manifest: Manifest
    new_bytes: int
    removed: list[Path]


def make_backup(
    source: Source,
    target: Path,
    progress: Progress,
    step: Step = lambda _: None,
    *,
    keep: int | None = None,
) -> Made:
    """A new folder in `target`, there under its name only when it is whole; then no more than the newest `keep` stay.

    Raises:
        BackupError: another backup runs, something cannot be read, or the target lies inside the cloud.
        FolderError: the target cannot be written.
        StoreError: the store cannot be copied.
    """
    now_ns = time.time_ns()
    stamp = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    backup = target / f"tocsin-{stamp}"
    _refuse_inside(target, source)
    try:
        with _alone(target):
            if backup.exists():
                raise BackupError(f"{backup} is there already", hint="wait a second")
            with _part_of(backup) as part:
                manifest, new_bytes = _fill(source, target, part, now_ns, progress, step)
                step("filled")
                with os.fdopen(os.open(part / NAME, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
                    file.flush()
                    os.fsync(file.fileno())
                sync_folders(part)
                step("written")
                part.rename(backup)
            sync_folders(target)
            step("named")
            removed = _remove_old(target, keep, step) if keep else []
    except OSError as exc:
        raise FolderError(
            f"the backup in {target} cannot be written: {exc.strerror or exc}",
            hint="is there room, and may you write there?",
        ) from exc
    return Made(backup, manifest, new_bytes, removed)


def _refuse_inside(target: Path, source: Source) -> None:
    """What is backed up would hold its own backups, and be lost with them."""
    own = [("data directory", source.data), ("store", source.store)]
    for name, folder in own:
        if folder is not None and target.resolve().is_relative_to(folder.resolve()):
            raise BackupError(
                f"{target} lies inside the cloud's {name} {folder}: what takes one takes the other",
                hint="name a folder elsewhere, on another disk if there is one",
            )


@contextmanager
def _part_of(backup: Path) -> Iterator[Path]:
    """The folder to fill; gone when it was not renamed."""
    part = backup.with_name(backup.name + PART)
    part.mkdir(mode=0o700)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """The target is ours; what a killed backup left there is gone."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (target / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BackupError(f"another backup into {target} is running") from exc
        for left in target.glob(f"tocsin-*{PART}"):
            shutil.rmtree(left)
        yield


def _remove_old(target: Path, keep: int, step: Step) -> list[Path]:
    """Those that went. Each first loses its name, so that none is left that looks whole and is not."""
    old = [path for path in finished_backups(target) if path.name.startswith("tocsin-")][:-keep]
    for path in old:
        part = path.with_name(path.name + PART)
        path.rename(part)
        step("unnamed")
        shutil.rmtree(part)
    return old


def _fill(
    source: Source, target: Path, part: Path, now_ns: int, progress: Progress, step: Step
) -> tuple[Manifest, int]:
    files: list[SavedFile] = []
    new_bytes = 0
    store: SavedStore | None = None
    state: SavedState | None = None
    with held(source, progress) as still:
        step("held")
        if still.state:
            progress("state database")
            state = copy_state(Path(still.state), part / STATE)
            files.append(_saved(part, part / STATE, hashed(part / STATE)))
            new_bytes += files[-1].bytes
            step("state")
        if still.taken is not None:
            taken = still.taken
            store = SavedStore(taken.rows, taken.streams, taken.numbers, taken.ledger)
            for saved, is_new in _store_files(taken, part, _known(target), progress):
                files.append(saved)
                new_bytes += saved.bytes if is_new else 0
                step("file")
    told = Manifest(FORMAT, __version__, now_ns, str(source.data), store, state, files)
    return told, new_bytes


def _store_files(
    taken: Taken, part: Path, known: _Known, progress: Progress
) -> Iterator[tuple[SavedFile, bool]]:
    """Each file of the store and whether it is new: earlier backups give what they have, by a link where that can be."""
    hot = part / "store" / taken.hot.name
    digest = hashed(taken.hot) if linked(taken.hot, hot) else copy_hashed(taken.hot, hot)
    hot.chmod(0o600)
    yield _saved(part, hot, digest), True
    said = time.monotonic()
    for n, path in enumerate(taken.cold, 1):
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            progress(f"cold files: {n} of {len(taken.cold)}")
        origin, copy = taken.store / path, part / "store" / path
        try:
            stat = origin.stat()
        except FileNotFoundError as exc:
            raise BackupError(
                "the cloud ended while it was being copied, and a file went", hint="run it again"
            ) from exc
        earlier = known.get((f"store/{path}", stat.st_size, stat.st_mtime_ns))
        if earlier is not None and linked(earlier[0], copy):
            yield _saved(part, copy, earlier[1]), False
        else:
            digest = hashed(copy) if linked(origin, copy) else copy_hashed(origin, copy)
            yield _saved(part, copy, digest), True


def _saved(part: Path, path: Path, digest: str) -> SavedFile:
    stat = path.stat()
    return SavedFile(str(path.relative_to(part)), stat.st_size, digest, stat.st_mtime_ns)


def _known(target: Path) -> _Known:
    """Every file of earlier backups that is still there as it was."""
    found: _Known = {}
    for backup in finished_backups(target):
        try:
            files = read_manifest(backup).files
        except BackupError:  # of a newer version, or damaged: its files are copied anew
            continue
        for file in files:
            path = backup / file.path
            if path.is_file() and path.stat().st_size == file.bytes:
                found[file.path, file.bytes, file.mtime_ns] = path, file.sha256
    return found
