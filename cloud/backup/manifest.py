"""`manifest.json`: what a backup holds. It is written last; a folder without it is no backup."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cloud.stores.local.snapshot import Count
from tocsin.errors import BackupError

FORMAT = 1
NAME = "manifest.json"
PART = ".part"  # behind the name of an unfinished backup


class SavedFile(msgspec.Struct, frozen=True):
    """One file by its path in the backup. `mtime_ns` is that of the original: with path and size it tells it from others."""

    path: str
    bytes: int
    sha256: str
    mtime_ns: int


class SavedStore(msgspec.Struct, frozen=True):
    """The embedded store. `ledger` is a digest of all settled ranges of its `streams`, `numbers` in all."""

    rows: dict[str, Count]
    streams: int
    numbers: int
    ledger: str


class SavedState(msgspec.Struct, frozen=True):
    """The relational state: `revision` of its schema, rows by table."""

    revision: str
    rows: dict[str, int]


class Manifest(msgspec.Struct, frozen=True):
    """`store` is None where an InfluxDB holds the readings, `state` where PostgreSQL holds the state."""

    format: int
    tocsin: str
    taken_ns: int
    data: str
    store: SavedStore | None
    state: SavedState | None
    files: list[SavedFile]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)


class _Version(msgspec.Struct):
    format: int


def read_manifest(backup: Path) -> Manifest:
    """Of a finished backup.

    Raises:
        BackupError: unfinished, not a backup, or of a newer format.
    """
    if backup.name.endswith(PART):
        raise BackupError(f"{backup} was never finished", hint="make a new one")
    try:
        text = (backup / NAME).read_bytes()
    except OSError as exc:
        raise BackupError(
            f"{backup} is no backup: {exc.strerror} ({NAME})",
            hint="name a folder that `tocsin backup` made",
        ) from exc
    try:
        version = msgspec.json.decode(text, type=_Version).format
        if version > FORMAT:
            raise BackupError(
                f"{backup} has format {version}, this version of Tocsin knows {FORMAT}",
                hint="use the version that made it, or a newer one",
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as exc:
        raise BackupError(f"{backup / NAME} cannot be read: {exc}") from exc
    for file in manifest.files:
        if file.path.startswith("/") or ".." in Path(file.path).parts:
            raise BackupError(f"{backup / NAME} names {file.path!r}, which lies outside of it")
    return manifest


def finished_backups(folder: Path) -> list[Path]:
    """Every finished backup in `folder`, oldest first."""
    return sorted(path.parent for path in folder.glob(f"*/{NAME}") if path.parent.suffix != PART)


def find_backup(place: Path) -> Path:
    """`place` itself, or the newest finished backup in it.

    Raises:
        BackupError: there is none.
    """
    if (place / NAME).exists() or place.name.endswith(PART):
        return place
    found = finished_backups(place)
    if not found:
        unfinished = any(place.glob(f"*{PART}"))
        raise BackupError(
            f"there is no finished backup in {place}",
            hint="the one there was never finished: make a new one with `tocsin backup DIR`"
            if unfinished
            else "name the folder that was given to `tocsin backup`, or one backup in it",
        )
    return found[-1]
