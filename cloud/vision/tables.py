"""Tables of what cameras saw; the spine writes them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table, Text

from cloud.db import Json, UtcNs, metadata

_Key = BigInteger().with_variant(Integer, "sqlite")

detections = Table(
    "vision_detections",
    metadata,
    Column("detection", String(64), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("label", String(64), nullable=False),
    Column("score", Float, nullable=False),  # the highest so far
    Column("box", Json, nullable=False),  # x, y, width, height: fractions of the picture
    Column("confirmed_ns", UtcNs, nullable=False, index=True),
    Column("seen_ns", UtcNs, nullable=False),
    Column("ended_ns", UtcNs, nullable=True),
    Column("told", Json, nullable=False),  # the newest Detection, whole
    Column("thumbnail", String(64), nullable=False),
    Column("verdict", String(16), nullable=False),  # "", confirmed, rejected
    Column("verdict_by", String(128), nullable=False),
    Column("verdict_ns", UtcNs, nullable=True),
    Column("note", Text, nullable=False),
)
Index("ix_vision_detections_device", detections.c.site, detections.c.device)

evidence = Table(
    "vision_evidence",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("gateway", String(64), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("detection", String(64), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("media", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("t_ns", UtcNs, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("have", BigInteger, nullable=False),
    Column("asked_ns", UtcNs, nullable=True),
    Column("tries", Integer, nullable=False),  # of a whole whose hash did not fit
    Column("kept_ns", UtcNs, nullable=True),
    Column("masks", Json, nullable=True),  # of a view: FixedMask, as its gateway is configured
)

views = Table(
    "vision_views",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("site", String(64), nullable=False),
    Column("device", String(64), nullable=False, server_default=""),
    Column(
        "role", String(16), nullable=False, server_default=""
    ),  # of the picture, which may be gone
    Column("taken_ns", UtcNs, nullable=True),
    Column("account", String(128), nullable=False),
    Column("t_ns", UtcNs, nullable=False),
)
Index("ix_vision_views_device", views.c.site, views.c.device)
