"""Tables of the alarm engine; the spine writes them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text

from cloud.db import UtcNs, metadata

_Key = BigInteger().with_variant(Integer, "sqlite")

alarms = Table(
    "alarms",
    metadata,
    Column("alarm", String(64), primary_key=True),
    Column("origin", String(8), nullable=False),
    Column("site", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("measurement", String(64), nullable=False),
    Column("quantity", String(64), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("raised_ns", UtcNs, nullable=False, index=True),
    Column("changed_ns", UtcNs, nullable=False),
    Column("level", Integer, nullable=False),
    Column("max_level", Integer, nullable=False),
    Column("value", Float, nullable=True),
    Column("unit", String(32), nullable=False),
    Column("limit", Float, nullable=True),
    Column("latched", Boolean, nullable=False),
    Column("beyond", Boolean, nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Column("repeats", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("note", Text, nullable=False),
    Column("acknowledged_ns", UtcNs, nullable=True),
    Column("returned_ns", UtcNs, nullable=True),
    Column("reset_by", String(128), nullable=False),
    Column("reset_ns", UtcNs, nullable=True),
    Column("closed_ns", UtcNs, nullable=True),
    Column("superseded", Boolean, nullable=False),
    Column("first_key", String(64), nullable=False),
    Column("head_key", String(64), nullable=False),
    Column("ack_key", String(64), nullable=False),
    Column("return_key", String(64), nullable=False),
    Column("reset_key", String(64), nullable=False),
    Column("evidence", String(64), nullable=False, server_default=""),
    Column("active", Boolean, nullable=False, index=True),
    Column("ended_ns", UtcNs, nullable=True),
)
_source = (alarms.c.gateway, alarms.c.device, alarms.c.quantity, alarms.c.rule)
Index("ix_alarms_source", *_source)
Index(
    "uq_alarms_one_active",
    *_source,
    unique=True,
    sqlite_where=alarms.c.active.is_(True),
    postgresql_where=alarms.c.active.is_(True),
)

journal = Table(
    "alarm_journal",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("alarm", String(64), nullable=False),
    Column("place", String(64), nullable=False),  # stream:seq, or a number of our own
    Column("t_ns", UtcNs, nullable=False),
    Column("recorded_ns", UtcNs, nullable=False),
    Column(
        "claimed_ns", UtcNs, nullable=True
    ),  # what a clock that was never set said instead of t_ns
    Column("change", String(32), nullable=False),
    Column("level", Integer, nullable=False),
    Column("value", Float, nullable=True),
    Column("unit", String(32), nullable=False),
    Column("limit", Float, nullable=True),
    Column("beyond", Boolean, nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("note", Text, nullable=False),
    Index("uq_alarm_journal_place", "alarm", "place", unique=True),
)

commands = Table(
    "alarm_commands",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("alarm", String(64), nullable=False, index=True),
    Column("site", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("note", Text, nullable=False),
    Column("issued_ns", UtcNs, nullable=False),
    Column("expires_ns", UtcNs, nullable=False),
    Column("state", String(16), nullable=False, index=True),  # pending, done, refused, expired
    Column("detail", Text, nullable=False, default=""),
)
