"""Gathers what a permit's bundle holds, and signs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Engine, select

from cloud.db import read
from cloud.permits import journals
from cloud.permits import kept as rows
from cloud.permits.bundle import Contents, GasValue, GrantTold, LockEvent, make_bundle
from cloud.permits.granting import grants_of
from cloud.permits.kept import Kept
from cloud.permits.photos import Photos
from cloud.permits.tables import issuer_keys
from cloud.sealing import Sealing
from tocsin import __version__
from tocsin.errors import NotFoundError
from tocsin.grants.issuers import KID_BYTES
from tocsin.grants.primitives import public_key
from tocsin.permits.facts import Isolated
from tocsin.permits.permit import Permit, permit_of
from tocsin.sdk import Clock

BUNDLE_KEY = "permit bundles"
MARGIN_NS = 15 * 60 * 10**9  # of gas values before the first and after the last entry

Span = tuple[int, int]
GasSeries = Callable[[str, Sequence[str], Sequence[str], Span], list[GasValue]]
LockLog = Callable[[str, Sequence[str], Span], list[LockEvent]]


class Exporter:
    """`gas` (site, devices, quantities, from and to in Unix ns) and `lock_log` (site, devices, the same) read the store."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        sealing: Sealing,
        photos: Photos,
        *,
        gas: GasSeries,
        lock_log: LockLog,
    ) -> None:
        self._engine, self._clock, self._photos = engine, clock, photos
        self._gas, self._lock_log = gas, lock_log
        self._seed = sealing.derive(BUNDLE_KEY)

    @property
    def key(self) -> str:
        """The public half of the key that signs bundles, hex: for an inspector to know beforehand."""
        return public_key(self._seed).hex()

    def bundle(self, permit: str) -> bytes:
        """The file.

        Raises:
            NotFoundError: there is no such permit.
            StoreError: its journal was changed by somebody else than Tocsin.
        """
        with read(self._engine) as c:
            kept = rows.get(c, permit)
            entries = journals.load(c, permit)
            issued = grants_of(c, permit)
            keys = c.execute(select(issuer_keys.c.kid, issuer_keys.c.public))
            issuers = {int(k).to_bytes(KID_BYTES, "big").hex(): bytes(p).hex() for k, p in keys}
        folded = permit_of(permit, entries)
        times = [e.at_ns for e in entries]
        span = (min(times, default=0) - MARGIN_NS, max(times, default=0) + MARGIN_NS)
        space = kept.basis.space
        contents = Contents(
            permit=folded,
            site=kept.site,
            basis=kept.basis,
            entries=entries,
            issuers=issuers,
            grants=[
                GrantTold(g.cti, g.account, g.issued_ns, g.void_ns, g.cose.hex()) for g in issued
            ],
            gas=self._gas(kept.site, space.live.gas_devices, kept.basis.template.gases, span),
            lock_log=self._lock_log(kept.site, space.locks, span),
            photos=self._pictures(kept, folded, [e.fact for e in entries]),
        )
        return make_bundle(
            contents, seed=self._seed, now_ns=self._clock.now_ns(), version=__version__
        )

    def _pictures(
        self, kept: Kept, permit: Permit, said: Sequence[msgspec.Struct]
    ) -> dict[str, bytes]:
        named = set(permit.form.photos) if permit.form else set()
        named |= {fact.photo for fact in said if isinstance(fact, Isolated) and fact.photo}
        found: dict[str, bytes] = {}
        for name in sorted(named):
            try:
                found[name] = self._photos.read(self._photos.get(name, kept.site).sha256)
            except NotFoundError:
                continue  # the entry still names it, and the bundle shows that it is not there
        return found
