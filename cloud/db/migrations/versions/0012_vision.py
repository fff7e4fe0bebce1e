"""What cameras saw, and pictures of alarms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables and the column."""
    op.create_table(
        "vision_detections",
        sa.Column("detection", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("box", sa.JSON(), nullable=False),
        sa.Column("confirmed_ns", sa.BigInteger(), nullable=False),
        sa.Column("seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("thumbnail", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("verdict_by", sa.String(length=128), nullable=False),
        sa.Column("verdict_ns", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("detection", name=op.f("pk_vision_detections")),
    )
    op.create_index("ix_vision_detections_confirmed_ns", "vision_detections", ["confirmed_ns"])
    op.create_index("ix_vision_detections_device", "vision_detections", ["site", "device"])
    op.create_table(
        "vision_evidence",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("detection", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("media", sa.String(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("t_ns", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("have", sa.BigInteger(), nullable=False),
        sa.Column("asked_ns", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("kept_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sha256", "gateway", name=op.f("pk_vision_evidence")),
    )
    op.create_index("ix_vision_evidence_detection", "vision_evidence", ["detection"])
    op.create_index("ix_vision_evidence_state", "vision_evidence", ["state"])
    op.create_table(
        "vision_views",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=128), nullable=False),
        sa.Column("t_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vision_views")),
    )
    op.create_index("ix_vision_views_sha256", "vision_views", ["sha256"])
    op.add_column(
        "alarms", sa.Column("evidence", sa.String(length=64), server_default="", nullable=False)
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_column("alarms", "evidence")
    op.drop_table("vision_views")
    op.drop_table("vision_evidence")
    op.drop_table("vision_detections")
