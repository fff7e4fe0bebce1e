"""Bring a state database to the newest schema."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from sqlalchemy import Engine

from cloud.db.schema import metadata

TABLE_MODULES = (
    "cloud.identity.tables",
    "cloud.registry.tables",
    "cloud.alarms.tables",
    "cloud.ingest.tables",
    "cloud.stores.influx.tables",
)


def load_tables() -> None:
    """Import every room's tables, so that the metadata is whole."""
    for name in TABLE_MODULES:
        if find_spec(name) is not None:
            import_module(name)


def upgrade(engine: Engine) -> None:
    """Create what is missing. Several processes may call it at once."""
    load_tables()
    with engine.begin() as connection:
        metadata.create_all(connection)
