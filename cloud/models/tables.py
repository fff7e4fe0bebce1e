"""Tables of models sent to gateways; the spine writes them."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, String, Table, Text

from cloud.db import Json, UtcNs, metadata

models = Table(
    "gateway_models",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("version", String(64), nullable=False),
    Column("toml", Text, nullable=False),
    Column("files", Json, nullable=False),  # of ModelFile
    Column("actor", String(128), nullable=False),
    Column("issued_ns", UtcNs, nullable=False),
    Column("expires_ns", UtcNs, nullable=False),
    Column("changed_ns", UtcNs, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("reason", String(200), nullable=False),
)
Index("ix_gateway_models_gateway", models.c.gateway, models.c.id)

model_files = Table(
    "model_files",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),  # at most 8 MiB
)
