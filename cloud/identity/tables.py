"""Tables of identity; the web process writes them, `tocsin token` too."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table

from cloud.db import Json, UtcNs, metadata

accounts = Table(
    "accounts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("password", String(200), nullable=False),  # argon2id, PHC string
    Column("role", String(16), nullable=False),
    Column("sites", Json, nullable=True),  # list of site ids; null: every site
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created_ns", UtcNs, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", LargeBinary(32), primary_key=True),  # SHA-256 of the cookie
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_ns", UtcNs, nullable=False),
    Column("seen_ns", UtcNs, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("hash", LargeBinary(32), nullable=False, unique=True),  # SHA-256 of the token
    Column("name", String(64), nullable=False),
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), nullable=True),
    Column("scopes", Json, nullable=False),
    Column("sites", Json, nullable=True),
    Column("created_ns", UtcNs, nullable=False),
    Column("expires_ns", UtcNs, nullable=True),
    Column("used_ns", UtcNs, nullable=True),
    Column("revoked_ns", UtcNs, nullable=True),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("until_ns", UtcNs, nullable=False),
    Column("seen_ns", UtcNs, nullable=False),
)

setup_tokens = Table(
    "setup_tokens",
    metadata,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("created_ns", UtcNs, nullable=False),
)

second_factors = Table(
    "second_factors",
    metadata,
    Column(
        "account_id",
        ForeignKey("accounts.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("secret", LargeBinary(100), nullable=True),  # sealed; null: none confirmed
    Column("pending", LargeBinary(100), nullable=True),  # sealed; waits for its first code
    Column("confirmed_ns", UtcNs, nullable=True),
    Column("last_step", UtcNs, nullable=False),  # the newest step whose code was taken
    Column("removed_ns", UtcNs, nullable=True),
    Column("removed_by", String(128), nullable=False),
)

permit_roles = Table(
    "permit_roles",
    metadata,
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(16), primary_key=True),
    Column("site", String(64), primary_key=True),  # "": every site of the account
)

permit_pins = Table(
    "permit_pins",
    metadata,
    Column(
        "account_id",
        ForeignKey("accounts.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("pin", String(200), nullable=False),  # scrypt text
)
