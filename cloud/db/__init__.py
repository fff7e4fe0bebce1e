"""Relational state of the cloud: one metadata for the tables of every room, SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

from cloud.db.engine import alone, fold_log, open_engine, read, write
from cloud.db.schema import Json, UtcNs, metadata
from cloud.db.turns import Turns
from cloud.db.upgrade import upgrade

__all__ = [
    "Json",
    "Turns",
    "UtcNs",
    "alone",
    "fold_log",
    "metadata",
    "open_engine",
    "read",
    "upgrade",
    "write",
]
