"""Permits: journals, ledger, photos, locks, keys and grants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "gateway_keys",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("public", sa.LargeBinary(length=32), nullable=False),
        sa.Column("registered_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", name=op.f("pk_gateway_keys")),
    )
    op.create_table(
        "holder_keys",
        sa.Column("holder", sa.String(length=16), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("public", sa.LargeBinary(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("registered_ns", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_holder_keys")),
    )
    op.create_index(op.f("ix_holder_keys_account"), "holder_keys", ["account"], unique=False)
    op.create_table(
        "issuer_keys",
        sa.Column("kid", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("public", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed_seed", sa.LargeBinary(length=100), nullable=False),
        sa.Column("made_ns", sa.BigInteger(), nullable=False),
        sa.Column("issues_ns", sa.BigInteger(), nullable=True),
        sa.Column("retired_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_issuer_keys")),
    )
    op.create_table(
        "permit_ledger",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("kind", "site", "id", name=op.f("pk_permit_ledger")),
    )
    op.create_table(
        "permit_locks",
        sa.Column("lock", sa.String(length=16), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.String(length=1), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(length=100), nullable=False),
        sa.Column("next_ctr", sa.BigInteger(), nullable=False),
        sa.Column("min_ctr", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("lock", name=op.f("pk_permit_locks")),
    )
    op.create_table(
        "permit_photos",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("taken_by", sa.String(length=128), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "site", name=op.f("pk_permit_photos")),
    )
    op.create_table(
        "permits",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("space", sa.String(length=64), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.LargeBinary(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("keep_until_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_permits")),
    )
    op.create_index("ix_permits_live", "permits", ["live"], unique=False)
    op.create_index("ix_permits_site_id", "permits", ["site", "id"], unique=False)
    op.create_table(
        "grants",
        sa.Column("cti", sa.String(length=16), nullable=False),
        sa.Column("permit", sa.String(length=26), nullable=False),
        sa.Column("lock", sa.String(length=16), nullable=False),
        sa.Column("holder", sa.String(length=16), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("ctr", sa.BigInteger(), nullable=False),
        sa.Column("ops", sa.Integer(), nullable=False),
        sa.Column("kid", sa.Integer(), nullable=False),
        sa.Column("nbf_ns", sa.BigInteger(), nullable=False),
        sa.Column("exp_ns", sa.BigInteger(), nullable=False),
        sa.Column("issued_ns", sa.BigInteger(), nullable=False),
        sa.Column("void_ns", sa.BigInteger(), nullable=True),
        sa.Column("cose", sa.LargeBinary(length=160), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(length=100), nullable=False),
        sa.ForeignKeyConstraint(["permit"], ["permits.id"], name=op.f("fk_grants_permit_permits")),
        sa.PrimaryKeyConstraint("cti", name=op.f("pk_grants")),
    )
    op.create_index("ix_grants_lock_ctr", "grants", ["lock", "ctr"], unique=True)
    op.create_index(op.f("ix_grants_permit"), "grants", ["permit"], unique=False)
    op.create_table(
        "permit_entries",
        sa.Column("permit", sa.String(length=26), nullable=False),
        sa.Column("source", sa.String(length=80), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["permit"], ["permits.id"], name=op.f("fk_permit_entries_permit_permits")
        ),
        sa.PrimaryKeyConstraint("permit", "source", "seq", name=op.f("pk_permit_entries")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("permit_entries")
    op.drop_index(op.f("ix_grants_permit"), table_name="grants")
    op.drop_index("ix_grants_lock_ctr", table_name="grants")
    op.drop_table("grants")
    op.drop_index("ix_permits_site_id", table_name="permits")
    op.drop_index("ix_permits_live", table_name="permits")
    op.drop_table("permits")
    op.drop_table("permit_photos")
    op.drop_table("permit_locks")
    op.drop_table("permit_ledger")
    op.drop_table("issuer_keys")
    op.drop_index(op.f("ix_holder_keys_account"), table_name="holder_keys")
    op.drop_table("holder_keys")
    op.drop_table("gateway_keys")
