"""Tables of the registry; the web process writes them, the spine reads them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKeyConstraint,
    Integer,
    String,
    Table,
    Text,
)

from cloud.db import UtcNs, metadata

sites = Table(
    "sites",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("lat", Float, nullable=True),
    Column("lon", Float, nullable=True),
)

devices = Table(
    "devices",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("device", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("kind", String(64), nullable=False),  # the measurement
    Column("place", String(256), nullable=False, default=""),
    Column("lat", Float, nullable=True),  # degrees, WGS 84
    Column("lon", Float, nullable=True),
    Column("period_s", Float, nullable=True),  # how often a reading is expected
    Column("gateway", String(64), nullable=False, default=""),  # which one announced it last
    Column("retired", Boolean, nullable=False, default=False),
    Column("edited", Boolean, nullable=False, default=False),  # a person's word beats a gateway's
    Column("created_ns", UtcNs, nullable=False),
    Column("updated_ns", UtcNs, nullable=False),
)

# BigInteger is no alias of SQLite's rowid, Integer is no 64 bits on PostgreSQL
_Key = BigInteger().with_variant(Integer, "sqlite")

device_hardware = Table(
    "device_hardware",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("site", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("serial", String(128), nullable=False, default=""),
    Column("installed_ns", UtcNs, nullable=False),
    Column("removed_ns", UtcNs, nullable=True),  # null: in place now
    Column("calibrated_on", Date, nullable=True),
    Column("calibration_due", Date, nullable=True),
    Column("note", Text, nullable=False, default=""),
    ForeignKeyConstraint(["site", "device"], ["devices.site", "devices.device"], name="device"),
)
