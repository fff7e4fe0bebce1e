"""Every order that was made for a lock and what came of it, and what each lock holds by its answers."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from cloud.db import UtcNs, metadata

lock_orders = Table(
    "lock_orders",
    metadata,
    Column("id", String(26), primary_key=True),  # ULID
    Column("lock", ForeignKey("permit_locks.lock"), nullable=False),
    Column("kind", String(12), nullable=False),  # revoke, rotate, time
    Column("min_ctr", BigInteger, nullable=False),  # of a revoke
    Column("epoch", Integer, nullable=False),
    Column("named", LargeBinary, nullable=False),  # cti(8) ctr(4) each
    Column("kid", Integer, nullable=False),  # of a rotate
    Column("body", LargeBinary(400), nullable=False),  # as the lock checks it; a time has none
    Column("made_ns", UtcNs, nullable=False),
    Column("made_by", String(128), nullable=False),
    Column("gateway", String(64), nullable=False),  # it was sent to this one last
    Column("kept_ns", UtcNs, nullable=True),  # when that gateway had it on disk
    Column("ended_ns", UtcNs, nullable=True),
    Column("outcome", String(10), nullable=False),  # "", taken, refused, replaced
    Column("reason", String(32), nullable=False),
    Column("event_seq", BigInteger, nullable=False),  # the lock's newest event then
)
lock_held = Table(
    "lock_held",
    metadata,
    Column("lock", ForeignKey("permit_locks.lock"), primary_key=True),
    Column("min_ctr", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("named", LargeBinary, nullable=False),
    Column("kid", Integer, nullable=False),  # its newest issuer key
    Column("revoked_ns", UtcNs, nullable=True),
    Column("rotated_ns", UtcNs, nullable=True),
    Column("time_ns", UtcNs, nullable=True),
)
Index("ix_lock_orders_ended", lock_orders.c.ended_ns)
Index("ix_lock_orders_lock", lock_orders.c.lock, lock_orders.c.ended_ns)
