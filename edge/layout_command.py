"""`tocsin edge layout`: which layout a gateway's files have, and the way back to an older one."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge.control.place import Config, data_dir_of
from edge.outbox.database import FILE, DirectoryLock
from edge.outbox.layout import VERSION, go_back, version_of
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import OutboxError

app = new_app("Layouts of a gateway's files, and the way back to an older version.")


class FileLayout(msgspec.Struct, frozen=True):
    """One file. `layout` is None before there is a file."""

    file: str
    layout: int | None
    written_by_this_version: int


@app.callback(invoke_without_command=True)
def show(context: typer.Context, config: Config = None, as_json: Json = False) -> None:
    """Which layout the outbox has. A start with a newer version upgrades it; an older version refuses a newer layout."""
    if context.invoked_subcommand is None:
        path = data_dir_of(config) / "outbox" / FILE
        _emit(path, _layout(path), as_json)


@app.command()
def rollback(
    layout: Annotated[int, typer.Argument(min=1, help="The layout that the older version writes.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Give the outbox of a stopped gateway an older layout, before the older version is installed. Loses nothing or refuses."""
    path = data_dir_of(config) / "outbox" / FILE
    if _layout(path) is None:
        raise OutboxError(f"there is no outbox {path}", hint="-c FILE")
    lock = DirectoryLock(path.parent)
    try:
        db = sqlite3.connect(path, isolation_level=None)
        try:
            go_back(db, layout, time.time_ns())
        finally:
            db.close()
    except sqlite3.Error as exc:
        raise OutboxError(
            f"{path} stays as it was: {exc}", hint="is there room on the disk, and permission?"
        ) from exc
    finally:
        lock.close()
    _emit(path, layout, as_json)


def _layout(path: Path) -> int | None:
    if not path.is_file():
        return None
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return version_of(db)
        finally:
            db.close()
    except sqlite3.Error as exc:
        raise OutboxError(f"{path} cannot be read: {exc}", hint="tocsin doctor") from exc


def _emit(path: Path, layout: int | None, as_json: bool) -> None:
    told = FileLayout(str(path), layout, VERSION)
    have = "is not there yet" if layout is None else f"has layout {layout}"
    output.emit(told, as_json=as_json, human=f"{path} {have}; this version writes layout {VERSION}")
