"""Whether a stream still takes numbers, and whether a power cut came after it began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for name, default in (("live", sa.true()), ("power_cut", sa.false())):
        op.add_column(
            "audit_streams",
            sa.Column(name, sa.Boolean(), nullable=False, server_default=default),
        )


def downgrade() -> None:
    """Drop them."""
    for name in ("live", "power_cut"):
        op.drop_column("audit_streams", name)
