"""Where the cloud to back up is, and its store held still for as long as copying takes: by the spine that runs, or here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cloud.config import CloudConfig, LocalStoreSection
from cloud.owned import owned
from cloud.rpc.client import stream_once
from cloud.stores.local.database import FILE_NAME
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.snapshot import Taken
from cloud.stores.local.store import LocalStore
from tocsin.errors import BackupError, SpineError, SpineReason

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A cloud by its files. `store` is None with an InfluxDB, `state` with PostgreSQL."""

    data: Path
    store: Path | None
    state: Path | None
    options: LocalOptions


class Held(msgspec.Struct, frozen=True):
    """What the spine tells of a snapshot. `state` is "" with PostgreSQL; `taken` is None with an InfluxDB."""

    state: str
    taken: Taken | None = None


def source_of(data: Path | None, config: CloudConfig | None) -> Source:
    """By cloud.toml, or by the data directory alone, where everything lies at its usual place."""
    if config is not None:
        place = config.state_file
        if isinstance(config.store, LocalStoreSection):
            store = config.store.directory or config.cloud.data_dir / "store"
            return Source(config.cloud.data_dir, store, place, config.store)
        return Source(config.cloud.data_dir, None, place, LocalOptions())
    assert data is not None  # noqa: S101 - one of the two is given
    return Source(data, data / "store", data / "state.db", LocalOptions())


@contextmanager
def held(source: Source, progress: Progress) -> Iterator[Held]:
    """The store held still; with a cloud that runs by that cloud.

    Raises:
        BackupError: there is nothing to back up.
        StoreError: the store cannot be copied.
    """
    stream = stream_once(source.data / "spine.sock", "snapshot")
    try:
        try:
            first = next(stream)
        except SpineError as exc:
            if exc.reason is not SpineReason.GONE:
                raise
        else:
            yield _last(first, stream, progress)
            return
    finally:
        stream.close()
    with _at_rest(source) as found:
        yield found


def _last(first: object, stream: Iterator[object], progress: Progress) -> Held:
    item: object = first
    while isinstance(item, dict) and "bytes" in item:
        progress(f"hot rows: {int(item['bytes']) >> 20} MB")
        item = next(stream)
    return msgspec.convert(item, Held, dec_hook=lambda kind, value: kind(value))


@contextmanager
def _at_rest(source: Source) -> Iterator[Held]:
    if not source.data.is_dir():
        raise BackupError(
            f"there is no folder {source.data}", hint="name the cloud's data directory"
        )
    state = str(source.state or "")
    with owned(source.data):
        if source.store is None:
            yield Held(state)
            return
        if not (source.store / FILE_NAME).exists():
            raise BackupError(
                f"there is no store in {source.store}", hint="-c cloud.toml says where it is"
            )
        owner = (source.store / FILE_NAME).stat().st_uid
        if owner != os.geteuid():
            raise BackupError(
                f"{source.store} belongs to another user ({owner}), and no cloud runs on it",
                hint="run this as that user, so that the cloud can open its files afterwards",
            )
        store = LocalStore(source.store, source.options)
        try:
            snapshot = store.snapshot()
            try:
                yield Held(state, snapshot.take())
            finally:
                snapshot.release()
        finally:
            store.close()
