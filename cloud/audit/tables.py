"""Tables of the audit; the spine writes them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, String, Table, false, true

from cloud.db import UtcNs, metadata

audit_streams = Table(  # what each gateway last told of its streams
    "audit_streams",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("stream", String(26), primary_key=True),
    Column("cls", String(16), nullable=False),
    Column("first_kept", BigInteger, nullable=False),
    Column("committed", BigInteger, nullable=False),
    Column("next_seq", BigInteger, nullable=False),  # of the telling that is in force
    Column("end", BigInteger, nullable=False),  # the highest ever told
    Column("held", Boolean, nullable=False),  # it was in the last telling
    Column("volatile", Boolean, nullable=False),
    Column("salvaged", Boolean, nullable=False),  # its file was damaged after it began
    Column("told_ns", UtcNs, nullable=False),  # while it took numbers
    Column("live", Boolean, nullable=False, server_default=true()),  # it took numbers then
    Column("power_cut", Boolean, nullable=False, server_default=false()),  # one came after it began
)

audit_given_up = Table(  # one row per contiguous range and reason
    "audit_given_up",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("stream", String(26), primary_key=True),
    Column("reason", String(16), primary_key=True),
    Column("lo", BigInteger, primary_key=True, autoincrement=False),
    Column("hi", BigInteger, nullable=False),  # [lo, hi)
    Column("rows", BigInteger, nullable=False),  # hi - lo, but for rows that had no number
    Column("first_ns", UtcNs, nullable=True),
    Column("last_ns", UtcNs, nullable=True),
)

audit_marks = Table(  # which numbers were when; joined to about one an hour after two days
    "audit_marks",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("stream", String(26), primary_key=True),
    Column("lo", BigInteger, primary_key=True, autoincrement=False),
    Column("hi", BigInteger, nullable=False),
    Column("first_ns", UtcNs, nullable=False),
    Column("last_ns", UtcNs, nullable=False),
)
