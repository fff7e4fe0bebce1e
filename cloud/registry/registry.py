"""Devices by (site, device), with the dated history of their hardware."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    and_,
    insert,
    select,
    update,
)

from cloud.db import read
from cloud.registry.model import Announced, Device, Edit, Hardware, Replacement
from cloud.registry.tables import device_hardware, devices, sites
from tocsin.errors import NotFoundError
from tocsin.sdk.clock import Clock


class Registry:
    """The registry in one state database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def devices(self) -> list[Device]:
        """Every device, by site and id."""
        with read(self._engine) as c:
            rows = c.execute(select(devices).order_by(devices.c.site, devices.c.device)).mappings()
            found = list(rows)
            worn = defaultdict(list)
            for h in c.execute(_newest_first()).mappings():
                worn[h["site"], h["device"]].append(_hardware(h))
        return [_device(r, worn[r["site"], r["device"]]) for r in found]

    def get(self, site: str, device: str) -> Device:
        """One device.

        Raises:
            NotFoundError: the site has no such device.
        """
        with read(self._engine) as c:
            return _get(c, site, device)

    def sites(self) -> list[str]:
        """Ids of all sites."""
        with read(self._engine) as c:
            return list(c.execute(select(sites.c.site).order_by(sites.c.site)).scalars())

    def observe(self, announced: Iterable[Announced]) -> bool:
        """Take in what gateways announce; a person's entries are kept. True if anything changed."""
        changed = False
        with self._engine.begin() as c:
            for a in announced:
                changed |= self._observe(c, a)
        return changed

    def _observe(self, c: Connection, a: Announced) -> bool:
        now = self._clock.now_ns()
        row = c.execute(select(devices).where(_key(a.site, a.device))).mappings().first()
        if row is None:
            if c.execute(select(sites).where(sites.c.site == a.site)).first() is None:
                c.execute(insert(sites).values(site=a.site, name=a.site))
            values = asdict(a) | {"name": a.name or a.device, "created_ns": now, "updated_ns": now}
            values.pop("serial")
            c.execute(insert(devices).values(**values))
            self._install(c, a.site, a.device, Replacement(a.serial), now)
            return True
        new: dict[str, object] = {"gateway": a.gateway}
        if not row["edited"]:
            told = {"kind": a.kind, "period_s": a.period_s, "lat": a.lat, "lon": a.lon}
            new |= {k: v for k, v in told.items() if v is not None}
        differing = {k: v for k, v in new.items() if row[k] != v}
        if differing:
            c.execute(update(devices).where(_key(a.site, a.device)).values(**differing))
        return bool(differing)

    def edit(self, site: str, device: str, entry: Edit) -> Device:
        """Set everything a person enters; makes the device if it is new."""
        now = self._clock.now_ns()
        values = asdict(entry)
        worn = {k: values.pop(k) for k in ("serial", "calibrated_on", "calibration_due")}
        values |= {"edited": True, "updated_ns": now}
        with self._engine.begin() as c:
            if c.execute(update(devices).where(_key(site, device)).values(**values)).rowcount == 0:
                if c.execute(select(sites).where(sites.c.site == site)).first() is None:
                    c.execute(insert(sites).values(site=site, name=site))
                c.execute(
                    insert(devices).values(site=site, device=device, created_ns=now, **values)
                )
            in_place = and_(_worn_by(site, device), device_hardware.c.removed_ns.is_(None))
            if c.execute(update(device_hardware).where(in_place).values(**worn)).rowcount == 0:
                self._install(c, site, device, Replacement(**worn), now)
            return _get(c, site, device)

    def replace_hardware(self, site: str, device: str, new: Replacement) -> Device:
        """End the instrument in place and begin the next; the history stays."""
        now = self._clock.now_ns()
        with self._engine.begin() as c:
            _get(c, site, device)
            in_place = and_(_worn_by(site, device), device_hardware.c.removed_ns.is_(None))
            c.execute(update(device_hardware).where(in_place).values(removed_ns=now))
            self._install(c, site, device, new, now)
            return _get(c, site, device)

    def _install(self, c: Connection, site: str, device: str, new: Replacement, now: int) -> None:
        c.execute(
            insert(device_hardware).values(
                site=site, device=device, installed_ns=now, **asdict(new)
            )
        )


def _key(site: str, device: str) -> ColumnElement[bool]:
    return and_(devices.c.site == site, devices.c.device == device)


def _worn_by(site: str, device: str) -> ColumnElement[bool]:
    return and_(device_hardware.c.site == site, device_hardware.c.device == device)


def _newest_first() -> Select[*tuple[Any, ...]]:
    return select(device_hardware).order_by(device_hardware.c.id.desc())


def _get(c: Connection, site: str, device: str) -> Device:
    row = c.execute(select(devices).where(_key(site, device))).mappings().first()
    if row is None:
        raise NotFoundError(f"site {site!r} has no device {device!r}")
    worn = c.execute(_newest_first().where(_worn_by(site, device))).mappings()
    return _device(row, [_hardware(h) for h in worn])


def _device(row: RowMapping, worn: Sequence[Hardware]) -> Device:
    told = {k: row[k] for k in Device.__slots__ if k != "hardware"}
    return Device(hardware=tuple(worn), **told)


def _hardware(row: RowMapping) -> Hardware:
    return Hardware(**{k: row[k] for k in Hardware.__slots__})
