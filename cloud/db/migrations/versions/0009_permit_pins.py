"""PINs for gateways whose cloud is away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "permit_pins",
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pin", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_permit_pins_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_permit_pins")),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("permit_pins")
