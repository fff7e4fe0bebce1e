"""What of permits the web process works on by itself: the ledger, keys, and pictures. The spine reads the same tables."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from cloud.config import CloudConfig
from cloud.lock_orders.rows import commissioned
from cloud.lock_orders.told import LocksTold
from cloud.permits.asked_keys import AskedKeys
from cloud.permits.holders import Holders
from cloud.permits.issued import Issued
from cloud.permits.issuers import Issuers
from cloud.permits.key_changes import KeyChanges
from cloud.permits.ledger import Ledger
from cloud.permits.locks import Locks
from cloud.permits.packs import Packs
from cloud.permits.photos import Photos
from cloud.sealing import Sealing
from tocsin.sdk import Clock


@dataclass(frozen=True, slots=True)
class PermitParts:
    """All on one state database."""

    packs: Packs
    ledger: Ledger
    photos: Photos
    locks: Locks
    holders: Holders
    asked: AskedKeys
    issuers: Issuers
    issued: Issued
    orders: LocksTold
    keys: KeyChanges

    @classmethod
    def of(cls, config: CloudConfig, engine: Engine, clock: Clock, sealing: Sealing) -> PermitParts:
        """Built once by a process."""
        locks = Locks(engine, clock, sealing, commissioned)
        ledger, holders = Ledger(engine, clock), Holders(engine, clock, locks)
        folder = config.cloud.data_dir / "permits" / "photos"
        issuers, orders = Issuers(engine, clock, sealing), LocksTold(engine, clock)
        return cls(
            Packs(config.permits.rules_folder),
            ledger,
            Photos(engine, clock, folder, config.permits.photo_bytes),
            locks,
            holders,
            AskedKeys(engine, clock, ledger, holders),
            issuers,
            Issued(engine, locks),
            orders,
            KeyChanges(engine, clock, locks, issuers, orders.behind),
        )
