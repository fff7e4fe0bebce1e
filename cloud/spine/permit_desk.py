"""The permits of one spine: the book on its real parts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from cloud.alarms.silence import Condition
from cloud.config import CloudConfig
from cloud.ingest.last import LastValues
from cloud.ingest.presence import Presence
from cloud.lock_orders.book import LockOrderBook
from cloud.lock_orders.making import Maker
from cloud.lock_orders.told import LocksTold
from cloud.permits.book import PermitBook
from cloud.permits.effects import Effects
from cloud.permits.exporting import Exporter
from cloud.permits.granting import Granter
from cloud.permits.holders import Holders
from cloud.permits.keeping import Keeper
from cloud.permits.key_changes import KeyChanges
from cloud.permits.orphans import Orphans
from cloud.permits.parts import PermitParts
from cloud.permits.situations import HEARD_NS, Situations
from cloud.sealing import Sealing
from cloud.spine.doors import Door
from cloud.spine.permit_series import gas_values, lock_events
from tocsin.contract.messages import AttendantSigns
from tocsin.errors import LockKeyError
from tocsin.sdk import Clock

_log = logging.getLogger("cloud.permits")


class Seals:
    """Keys that gateways tell as they connect. The first is taken; another one waits until an admin registers it."""

    def __init__(self, presence: Presence, holders: Holders) -> None:
        self._presence, self._holders = presence, holders
        self._met: dict[str, str] = {}

    def look(self) -> None:
        """Meet whoever tells a key that was not told before."""
        for gateway, state in self._presence.gateways().items():
            seal = state.health.seal if state.health is not None else ""
            if seal and self._met.get(gateway) != seal:
                self._met[gateway] = seal
                self._meet(gateway, seal)

    def _meet(self, gateway: str, seal: str) -> None:
        try:
            if self._holders.meet_gateway(gateway, bytes.fromhex(seal)):
                _log.info("gateway %s told the key that secrets for it are sealed to", gateway)
                return
            why = "it has another one registered; an admin replaces it (PUT .../gateways/ID/key)"
        except (LockKeyError, ValueError) as exc:
            why = str(exc)
        _log.warning("gateway %s tells the key %.64s, which is not taken: %s", gateway, seal, why)


@dataclass(frozen=True, slots=True)
class PermitDesk:
    """What the spine needs of permits."""

    book: PermitBook
    keeper: Keeper
    seals: Seals
    orders: LockOrderBook
    locks: LocksTold
    keys: KeyChanges

    def look(self) -> None:
        """Once a second."""
        self.seals.look()
        self.book.look()
        self.orders.look()
        self.keeper.look()


def permit_desk(
    config: CloudConfig,
    engine: Engine,
    clock: Clock,
    *,
    door: Door,
    last: LastValues,
    presence: Presence,
    keys: Mapping[str, bytes],
    changed: Callable[[dict[str, object]], None],
    send: Callable[[str, bytes], object],
    watch: Callable[[Sequence[Condition]], None],
) -> PermitDesk:
    """Built once, before the spine runs."""
    sealing = Sealing.of(config.secrets_key)
    parts = PermitParts.of(config, engine, clock, sealing)

    def heard_ns(gateway: str) -> int:
        state = presence.gateways().get(gateway)
        return state.heard_ns if state is not None else 0

    def signs(gateway: str) -> AttendantSigns | None:
        state = presence.gateways().get(gateway)
        return state.health.attendants if state is not None and state.health is not None else None

    book = PermitBook(
        engine,
        clock,
        packs=parts.packs,
        situations=Situations(
            lambda site: last.all([site]),
            heard_ns,
            signs,
            clock.now_ns(),
            lambda gateway: bool(keys.get(gateway)),
        ),
        effects=Effects(Granter(parts.issuers, parts.locks), parts.locks),
        keys=keys,
        changed=changed,
        send=send,
        watch=watch,
    )
    exporter = Exporter(
        engine,
        clock,
        sealing,
        parts.photos,
        gas=lambda site, devices, quantities, span: gas_values(
            door, site, devices, quantities, span
        ),
        lock_log=lambda site, devices, span: lock_events(door, site, devices, span),
    )
    folder = config.cloud.data_dir / "permits" / "bundles"
    orders = LockOrderBook(
        engine,
        clock,
        Maker(parts.issuers, parts.locks),
        keys=keys,
        gateway_of=lambda site, device: _gateway_of(presence, site, device),
        is_heard=lambda gateway, now_ns: abs(now_ns - heard_ns(gateway)) <= HEARD_NS,
        send=send,
    )
    keeper = Keeper(engine, clock, book, exporter, folder, Orphans(engine, clock, parts.photos))
    seals = Seals(presence, parts.holders)
    return PermitDesk(book, keeper, seals, orders, parts.orders, parts.keys)


def _gateway_of(presence: Presence, site: str, device: str) -> str:
    """The one that was last heard of it; "" where none ever was."""
    mine = [d for d in presence.devices() if (d.site, d.device) == (site, device)]
    return max(mine, key=lambda d: d.alive_mono).gateway if mine else ""
