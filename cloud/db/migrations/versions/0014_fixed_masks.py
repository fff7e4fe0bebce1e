"""Masks of a gateway's configuration come with the picture for the wall."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("vision_evidence", sa.Column("masks", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("vision_evidence", "masks")
