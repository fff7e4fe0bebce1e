"""Relational state of the cloud: one metadata for the tables of every room, SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

from cloud.db.engine import open_engine, read, write
from cloud.db.schema import Json, UtcNs, metadata
from cloud.db.upgrade import upgrade

__all__ = ["Json", "UtcNs", "metadata", "open_engine", "read", "upgrade", "write"]
