"""Tables of permits. The spine writes journals, grants and what gateways tell; the web process the ledger, keys and photos."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
)

from cloud.db import UtcNs, metadata

permits = Table(
    "permits",
    metadata,
    Column("id", String(26), primary_key=True),  # ULID
    Column("site", String(64), nullable=False),
    Column("space", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("live", Boolean, nullable=False),  # its gateway watches it
    Column("changed_ns", UtcNs, nullable=False),
    Column("basis", LargeBinary, nullable=False),  # space, template and rules it began with
    Column("told", Integer, nullable=False),  # the newest entry of ours its gateway keeps
    Column("ended_ns", UtcNs, nullable=True),
    Column("keep_until_ns", UtcNs, nullable=True),  # null: for ever
)
Index("ix_permits_site_id", permits.c.site, permits.c.id)
Index("ix_permits_live", permits.c.live)

permit_entries = Table(
    "permit_entries",
    metadata,
    Column("permit", ForeignKey("permits.id"), primary_key=True),
    Column("source", String(80), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("at_ns", UtcNs, nullable=False),
    Column("received_ns", UtcNs, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the canonical bytes that the hash is of
)

permit_ledger = Table(
    "permit_ledger",
    metadata,
    Column("kind", String(16), primary_key=True),  # space, instrument, person
    Column("site", String(64), primary_key=True),  # "": of every site
    Column("id", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("changed_ns", UtcNs, nullable=False),
    Column("changed_by", String(128), nullable=False),
)

permit_photos = Table(
    "permit_photos",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("site", String(64), primary_key=True),
    Column("type", String(16), nullable=False),  # jpeg, png or webp
    Column("bytes", Integer, nullable=False),
    Column("taken_by", String(128), nullable=False),
    Column("received_ns", UtcNs, nullable=False),
)

permit_locks = Table(
    "permit_locks",
    metadata,
    Column("lock", String(16), primary_key=True),  # its 8 bytes in hex
    Column("site", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("profile", String(1), nullable=False),  # A or B
    Column("sealed_key", LargeBinary(100), nullable=False),
    Column("next_ctr", BigInteger, nullable=False),
    Column("min_ctr", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),  # of gateway keys
    Column("changed_ns", UtcNs, nullable=False),
    Column("changed_by", String(128), nullable=False),
)

issuer_keys = Table(
    "issuer_keys",
    metadata,
    Column("kid", Integer, primary_key=True, autoincrement=False),  # 1-65535, only grows
    Column("public", LargeBinary(32), nullable=False),
    Column("sealed_seed", LargeBinary(100), nullable=False),
    Column("made_ns", UtcNs, nullable=False),
    Column("issues_ns", UtcNs, nullable=True),  # when it began to sign
    Column("retired_ns", UtcNs, nullable=True),
)

holder_keys = Table(
    "holder_keys",
    metadata,
    Column("holder", String(16), primary_key=True),  # `sub` of its grants, hex
    Column("account", String(64), nullable=False, index=True),
    Column("public", LargeBinary(32), nullable=False),
    Column("name", String(64), nullable=False),
    Column("registered_ns", UtcNs, nullable=False),
    Column("revoked_ns", UtcNs, nullable=True),
)

gateway_keys = Table(
    "gateway_keys",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("public", LargeBinary(32), nullable=False),  # X25519
    Column("registered_ns", UtcNs, nullable=False),
)

grants = Table(
    "grants",
    metadata,
    Column("cti", String(16), primary_key=True),
    Column("permit", ForeignKey("permits.id"), nullable=False, index=True),
    Column("lock", String(16), nullable=False),
    Column("holder", String(16), nullable=False),
    Column("account", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("ctr", BigInteger, nullable=False),
    Column("ops", Integer, nullable=False),
    Column("kid", Integer, nullable=False),
    Column("nbf_ns", UtcNs, nullable=False),
    Column("exp_ns", UtcNs, nullable=False),
    Column("issued_ns", UtcNs, nullable=False),
    Column("void_ns", UtcNs, nullable=True),
    Column("cose", LargeBinary(160), nullable=False),
    Column("sealed_key", LargeBinary(100), nullable=False),
)
Index("ix_grants_lock_ctr", grants.c.lock, grants.c.ctr, unique=True)
Index("ix_grants_exp_ns", grants.c.exp_ns)
