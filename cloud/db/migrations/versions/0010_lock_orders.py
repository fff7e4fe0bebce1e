"""Orders to locks, and what each lock holds. A lock that was there before holds the issuer key that signs now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "lock_orders",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("lock", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("min_ctr", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("named", sa.LargeBinary(), nullable=False),
        sa.Column("kid", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(length=400), nullable=False),
        sa.Column("made_ns", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(length=128), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("kept_ns", sa.BigInteger(), nullable=True),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["lock"], ["permit_locks.lock"], name=op.f("fk_lock_orders_lock_permit_locks")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lock_orders")),
    )
    op.create_index("ix_lock_orders_lock", "lock_orders", ["lock", "ended_ns"])
    op.create_index("ix_lock_orders_ended", "lock_orders", ["ended_ns"])
    op.create_table(
        "lock_held",
        sa.Column("lock", sa.String(length=16), nullable=False),
        sa.Column("min_ctr", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("named", sa.LargeBinary(), nullable=False),
        sa.Column("kid", sa.Integer(), nullable=False),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.Column("rotated_ns", sa.BigInteger(), nullable=True),
        sa.Column("time_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["lock"], ["permit_locks.lock"], name=op.f("fk_lock_held_lock_permit_locks")
        ),
        sa.PrimaryKeyConstraint("lock", name=op.f("pk_lock_held")),
    )
    op.create_index("ix_grants_exp_ns", "grants", ["exp_ns"])
    op.execute(
        sa.text(
            "INSERT INTO lock_held (lock, min_ctr, epoch, named, kid) SELECT lock, 0, 1, :nothing, "
            "COALESCE((SELECT MAX(kid) FROM issuer_keys WHERE issues_ns IS NOT NULL), 1) FROM permit_locks"
        ).bindparams(nothing=b"")
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_grants_exp_ns", table_name="grants")
    op.drop_table("lock_held")
    op.drop_index("ix_lock_orders_ended", table_name="lock_orders")
    op.drop_index("ix_lock_orders_lock", table_name="lock_orders")
    op.drop_table("lock_orders")
