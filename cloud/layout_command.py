"""`tocsin cloud layout`: which layouts the cloud's files have, and the way back to older ones."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit, note, table
from tocsin.errors import StoreError, UsageError

app = new_app("Layouts of the cloud's files, and the way back to an older version.")
Config = Annotated[Path, typer.Option("--config", "-c", help="cloud.toml")]


class PartLayout(msgspec.Struct, frozen=True):
    """`state` is the state database, `store` the embedded store. `layout` is None before there is one, or while a running cloud has it."""

    part: str
    layout: str | None
    written_by_this_version: str


@app.command()
def show(config: Config, as_json: Json = False) -> None:
    """Which layouts they have. A start with a newer version upgrades them; an older version refuses newer ones."""
    from cloud.config import load_cloud
    from cloud.db import open_engine
    from cloud.db.upgrade import HEAD, revision
    from cloud.stores.local.database import FILE_NAME
    from cloud.stores.local.layout import VERSION, bare, version_of

    loaded = load_cloud(config).value
    engine = open_engine(loaded.state_place)
    try:
        found = [PartLayout("state", revision(engine), HEAD)]
    finally:
        engine.dispose()
    directory = loaded.store_directory
    if directory is not None and (path := directory / FILE_NAME).exists():
        layout = None
        if _running(loaded.cloud.data_dir):
            note(
                "a running cloud has the store: at its start it brought it to the layout that it writes"
            )
        else:
            with bare(path, read_only=True) as connection:
                layout = str(version_of(connection))
        found.append(PartLayout("store", layout, str(VERSION)))
    rows = [[p.part, p.layout or "not known", p.written_by_this_version] for p in found]
    emit(found, as_json=as_json, human=table(["part", "layout", "this version writes"], rows))


@app.command()
def rollback(
    part: Annotated[str, typer.Argument(help="state or store.")],
    layout: Annotated[str, typer.Argument(help="The layout that the older version writes.")],
    config: Config,
    copy: Annotated[
        bool, typer.Option(help="Keep a copy of the state database as it was beside it.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Give a part of a stopped cloud an older layout, before the older version is installed."""
    from cloud.config import load_cloud
    from cloud.stores.local.database import FILE_NAME
    from cloud.stores.local.layout import VERSION, bare, refuse_newer, set_version

    if part not in ("state", "store"):
        raise UsageError(f"there is no part {part!r}", hint="state, or store")
    loaded = load_cloud(config).value
    data = loaded.cloud.data_dir
    with _alone(data):
        if part == "state":
            _state_back(loaded.state_place, layout, copy=copy)
        else:
            if not layout.isdecimal() or not 1 <= int(layout) <= VERSION:
                raise StoreError(
                    f"the store has no layout {layout!r}", hint=f"1 to {VERSION} can be reached"
                )
            directory = loaded.store_directory
            if directory is None or not (path := directory / FILE_NAME).exists():
                raise StoreError("there is no embedded store", hint="is it the right cloud.toml?")
            with bare(path) as connection:
                refuse_newer(connection, path)
                set_version(connection, int(layout))
    emit(
        PartLayout(part, layout, str(VERSION) if part == "store" else _head()),
        as_json=as_json,
        human=f"{part} has layout {layout} now",
    )


def _head() -> str:
    from cloud.db.upgrade import HEAD

    return HEAD


def _state_back(place: str | Path, layout: str, *, copy: bool) -> None:
    from cloud.db import open_engine
    from cloud.db.upgrade import downgrade, revision

    engine = open_engine(place)
    try:
        if copy and engine.dialect.name != "sqlite":
            raise StoreError(
                "a PostgreSQL database is not copied from here",
                hint="take a pg_dump, then add --no-copy",
            )
        aside = None
        if copy:
            aside = Path(f"{place}.{revision(engine)}.{time.time_ns() // 1_000_000_000}")
            with closing(sqlite3.connect(place)) as source, closing(sqlite3.connect(aside)) as to:
                source.backup(to)
        try:
            downgrade(engine, layout)
        except StoreError:
            if aside is not None:
                aside.unlink()
            raise
        if aside is not None:
            note(f"what schema {layout} has no place for is in {aside}")
    finally:
        engine.dispose()


def _running(data: Path) -> bool:
    if not (data / "cloud.lock").exists():
        return False
    try:
        with _alone(data):
            return False
    except StoreError:
        return True


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """While no cloud runs on this folder."""
    try:
        file = (data / "cloud.lock").open("rb+")
    except OSError as exc:
        raise StoreError(
            f"no cloud ever ran in {data}: {exc.strerror}", hint="is it the right cloud.toml?"
        ) from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise StoreError(f"a cloud runs on {data}", hint="stop it first") from exc
        yield
