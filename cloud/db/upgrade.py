"""Bring a state database to the newest schema."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, text

TABLE_MODULES = (
    "cloud.identity.tables",
    "cloud.registry.tables",
    "cloud.alarms.tables",
    "cloud.orders.tables",
    "cloud.gateway_configs.tables",
    "cloud.ingest.tables",
    "cloud.audit.tables",
    "cloud.stores.influx.tables",
)
HEAD = "0005"
_LOCK_KEY = 0x746F6373  # "tocs": PostgreSQL advisory lock


def load_tables() -> None:
    """Import every room's tables, so that the metadata is whole."""
    for name in TABLE_MODULES:
        if find_spec(name) is not None:
            import_module(name)


def upgrade(engine: Engine) -> None:
    """Run the migrations that are missing. Several processes may call it at once."""
    with engine.connect().execution_options(reading=True) as connection:
        if _revision(connection) == HEAD:
            return
    with _alone(engine), engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        if _revision(connection) == HEAD:
            return
        load_tables()
        config = Config()
        config.set_main_option("script_location", str(files("cloud.db").joinpath("migrations")))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


logging.getLogger("alembic").setLevel(logging.WARNING)  # it announces every look at the schema


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    if engine.dialect.name != "sqlite" or not engine.url.database:
        yield
        return
    with Path(f"{engine.url.database}.upgrade-lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
