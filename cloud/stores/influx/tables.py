"""Table of the InfluxDB store; the spine writes it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, String, Table

from cloud.db import metadata

influx_ledger = Table(
    "influx_ledger",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("stream", String(26), primary_key=True),
    Column("rejected", Boolean, primary_key=True),
    Column("lo", BigInteger, primary_key=True, autoincrement=False),
    Column("hi", BigInteger, nullable=False),  # [lo, hi)
)
