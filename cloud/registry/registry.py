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

_AT_ONCE = 64  # devices in one transaction: an alarm waits for no more


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
        """Take in what gateways announce; a person's entries are kept. True if anything changed.

        What is as it was is found by reading alone: alarms are written to the same file.
        """
        with read(self._engine) as c:
            known = {(r["site"], r["device"]): r for r in c.execute(select(devices)).mappings()}
        news = [a for a in announced if _differing(known.get((a.site, a.device)), a)]
        changed = False
        for at in range(0, len(news), _AT_ONCE):
            with self._engine.begin() as c:
                changed |= self._take_in(c, news[at : at + _AT_ONCE])
        return changed

    def _take_in(self, c: Connection, announced: Sequence[Announced]) -> bool:
        now = self._clock.now_ns()
        rows = c.execute(select(devices).where(devices.c.device.in_([a.device for a in announced])))
        known = {(r["site"], r["device"]): r for r in rows.mappings()}
        new: dict[tuple[str, str], Announced] = {}
        changed = False
        for a in announced:
            row = known.get((a.site, a.device))
            if row is None:
                new[a.site, a.device] = a
            elif differing := _differing(row, a):
                c.execute(update(devices).where(_key(a.site, a.device)).values(**differing))
                changed = True
        if not new:
            return changed
        there = set(c.execute(select(sites.c.site)).scalars())
        if missing := {site for site, _ in new} - there:
            c.execute(insert(sites), [{"site": site, "name": site} for site in sorted(missing)])
        values = [
            asdict(a) | {"name": a.name or a.device, "created_ns": now, "updated_ns": now}
            for a in new.values()
        ]
        worn = [
            {"site": v["site"], "device": v["device"], "installed_ns": now}
            | asdict(Replacement(v.pop("serial")))
            for v in values
        ]
        c.execute(insert(devices), values)
        c.execute(insert(device_hardware), worn)
        return True

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


def _differing(row: RowMapping | None, a: Announced) -> dict[str, object]:
    """What an announcement changes of what is known."""
    new: dict[str, object] = {"gateway": a.gateway}
    if row is None or not row["edited"]:
        told = {"kind": a.kind, "period_s": a.period_s, "lat": a.lat, "lon": a.lon}
        new |= {k: v for k, v in told.items() if v is not None}
    return new if row is None else {k: v for k, v in new.items() if row[k] != v}


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
