"""Bring a state database to the newest schema, or back to an older one."""

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
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from tocsin.errors import StoreError

TABLE_MODULES = (
    "cloud.identity.tables",
    "cloud.registry.tables",
    "cloud.alarms.tables",
    "cloud.orders.tables",
    "cloud.gateway_configs.tables",
    "cloud.models.tables",
    "cloud.ingest.tables",
    "cloud.audit.tables",
    "cloud.permits.tables",
    "cloud.lock_orders.tables",
    "cloud.vision.tables",
    "cloud.stores.influx.tables",
)
HEAD = "0014"
_LOCK_KEY = 0x746F6373  # "tocs": PostgreSQL advisory lock


def load_tables() -> None:
    """Import every room's tables, so that the metadata is whole."""
    for name in TABLE_MODULES:
        if find_spec(name) is not None:
            import_module(name)


def upgrade(engine: Engine) -> None:
    """Run the migrations that are missing, in one transaction. Several processes may call it at once.

    Raises:
        StoreError: a newer version made it; nothing was touched.
    """
    if revision(engine) == HEAD:
        return
    with _migrating(engine) as config, _transaction(engine) as connection:
        if _revision(connection) == HEAD:
            return
        _known(connection, config)
        load_tables()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def downgrade(engine: Engine, to: str) -> None:
    """Go back to an older schema, in one transaction; what it has no place for is dropped.

    Raises:
        StoreError: no such schema, or none older than what is there; nothing was touched.
    """
    with _migrating(engine) as config, _transaction(engine) as connection:
        older = _known(connection, config)
        if to not in older:
            raise StoreError(
                f"the state database has schema {_revision(connection)}; there is no way back to {to}",
                hint=f"older ones: {', '.join(sorted(older)) or 'none'}",
            )
        config.attributes["connection"] = connection
        command.downgrade(config, to)


def revision(engine: Engine) -> str | None:
    """The schema it has; None while it is empty."""
    with engine.connect().execution_options(reading=True) as connection:
        return _revision(connection)


logging.getLogger("alembic").setLevel(logging.WARNING)  # it announces every look at the schema


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _known(connection: Connection, config: Config) -> list[str]:
    """Schemas older than the present one.

    Raises:
        StoreError: the present one is of a newer version.
    """
    present = _revision(connection)
    steps = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    if present is None:
        return []
    if present not in steps:
        raise StoreError(
            f"the state database has schema {present}, this version knows {HEAD}",
            hint="install the newer version again, and have it go back first: tocsin cloud layout rollback",
        )
    return steps[steps.index(present) + 1 :]


@contextmanager
def _migrating(engine: Engine) -> Iterator[Config]:
    """Alone with a database in a file, and with the migrations."""
    config = Config()
    config.set_main_option("script_location", str(files("cloud.db").joinpath("migrations")))
    if engine.dialect.name != "sqlite" or not engine.url.database:
        yield config
        return
    with Path(f"{engine.url.database}.upgrade-lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield config


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        yield connection
