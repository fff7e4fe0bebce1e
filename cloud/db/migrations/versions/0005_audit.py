"""What gateways told of their streams and gave up, and which numbers were when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "audit_streams",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("stream", sa.String(length=26), nullable=False),
        sa.Column("cls", sa.String(length=16), nullable=False),
        sa.Column("first_kept", sa.BigInteger(), nullable=False),
        sa.Column("committed", sa.BigInteger(), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("volatile", sa.Boolean(), nullable=False),
        sa.Column("salvaged", sa.Boolean(), nullable=False),
        sa.Column("told_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "stream", name=op.f("pk_audit_streams")),
    )
    op.create_table(
        "audit_given_up",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("stream", sa.String(length=26), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("lo", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hi", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("first_ns", sa.BigInteger(), nullable=True),
        sa.Column("last_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint(
            "gateway", "stream", "reason", "lo", name=op.f("pk_audit_given_up")
        ),
    )
    op.create_table(
        "audit_marks",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("stream", sa.String(length=26), nullable=False),
        sa.Column("lo", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hi", sa.BigInteger(), nullable=False),
        sa.Column("first_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "stream", "lo", name=op.f("pk_audit_marks")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("audit_marks")
    op.drop_table("audit_given_up")
    op.drop_table("audit_streams")
