"""Table of commands to devices; the spine writes it."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, String, Table, Text

from cloud.db import Json, UtcNs, metadata

orders = Table(
    "device_commands",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("site", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("args", Json, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("issued_ns", UtcNs, nullable=False),
    Column("expires_ns", UtcNs, nullable=False),
    Column("changed_ns", UtcNs, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("told", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("answer", Json, nullable=True),
    Column("duration_s", Float, nullable=True),
    Column("code", String(200), nullable=False),
    Column("confirm_until_ns", UtcNs, nullable=True),
    Column("confirm_by", String(200), nullable=False),
    Column("confirms", String(26), nullable=False),
    Column("confirmed_by", String(200), nullable=False),
)
Index("ix_device_commands_device", orders.c.site, orders.c.device, orders.c.id)
