"""The one metadata every room's tables hang on, and the column types they share."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

UtcNs = BigInteger  # Unix nanoseconds UTC, as everywhere in Tocsin
Json = JSON
