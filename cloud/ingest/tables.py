"""Tables of the ingester; the spine writes them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, String, Table, Text

from cloud.db import Json, UtcNs, metadata

_Key = BigInteger().with_variant(Integer, "sqlite")

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("digest", String(64), nullable=False, unique=True),  # of topic, bytes and finding
    Column("first_ns", UtcNs, nullable=False),
    Column("last_ns", UtcNs, nullable=False),
    Column("n", Integer, nullable=False, default=1),
    Column("topic", Text, nullable=False),
    Column("site", String(64), nullable=False, default=""),
    Column("gateway", String(64), nullable=False, default="", index=True),
    Column("stream", String(26), nullable=False, default=""),
    Column("lo", BigInteger, nullable=False, default=0),
    Column("hi", BigInteger, nullable=False, default=0),
    Column("device", String(64), nullable=False, default=""),
    Column("quantity", String(64), nullable=False, default=""),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),  # the first MAX_PAYLOAD_BYTES
    Column("payload_bytes", BigInteger, nullable=False),  # of the whole message
    Column("requeued_ns", UtcNs, nullable=True),
)

seen_devices = Table(
    "seen_devices",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("device", String(64), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("measurement", String(64), nullable=False, default=""),
    Column("period_s", Float, nullable=True),
    Column("announced", Json, nullable=False, default=dict),
    Column("first_ns", UtcNs, nullable=False),
)
