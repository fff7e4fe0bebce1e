"""Who looked at a picture is told by its camera and time, and outlives the picture."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_OF_PICTURE = "(SELECT e.{0} FROM vision_evidence e WHERE e.sha256 = vision_views.sha256 ORDER BY e.gateway LIMIT 1)"


def upgrade() -> None:
    """Add the columns, filled from the pictures that are still known."""
    for name, length in (("device", 64), ("role", 16)):
        column = sa.Column(name, sa.String(length=length), server_default="", nullable=False)
        op.add_column("vision_views", column)
    op.add_column("vision_views", sa.Column("taken_ns", sa.BigInteger(), nullable=True))
    device, role, taken = (_OF_PICTURE.format(c) for c in ("device", "role", "t_ns"))
    op.execute(
        f"UPDATE vision_views SET device = coalesce({device}, ''), role = coalesce({role}, ''), taken_ns = {taken}"  # noqa: S608
    )
    op.create_index("ix_vision_views_device", "vision_views", ["site", "device"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_vision_views_device", "vision_views")
    for name in ("taken_ns", "role", "device"):
        op.drop_column("vision_views", name)
