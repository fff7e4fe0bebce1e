"""Table of configurations sent to gateways; the spine writes it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from cloud.db import Json, UtcNs, metadata

configs = Table(
    "gateway_configs",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("site", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("toml", Text, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("issued_ns", UtcNs, nullable=False),
    Column("expires_ns", UtcNs, nullable=False),
    Column("changed_ns", UtcNs, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("problems", Json, nullable=False),
)
Index("ix_gateway_configs_gateway", configs.c.gateway, configs.c.version)
