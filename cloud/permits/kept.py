"""The row of a permit: what lists need without its journal, and what it runs by."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, RowMapping, insert, select, update

from cloud.permits.bundle import Basis
from cloud.permits.tables import permits
from tocsin.errors import NotFoundError
from tocsin.permits.names import State


@dataclass(frozen=True, slots=True)
class Kept:
    """One row. `live`: its gateway watches it; `told`: the newest entry of ours its gateway keeps."""

    id: str
    site: str
    space: str
    gateway: str
    state: State
    live: bool
    changed_ns: int
    basis: Basis
    told: int
    ended_ns: int | None = None
    keep_until_ns: int | None = None


def begin(c: Connection, kept: Kept) -> None:
    """A new permit."""
    c.execute(insert(permits).values(id=kept.id, basis=_basis(kept), **_values(kept)))


def save(c: Connection, kept: Kept) -> None:
    """What moved; the basis never does."""
    c.execute(update(permits).where(permits.c.id == kept.id).values(**_values(kept)))


def get(c: Connection, permit: str, *, for_write: bool = False) -> Kept:
    """One of them; `for_write`: nobody else moves it before this transaction ends.

    Raises:
        NotFoundError: there is no such permit.
    """
    query = select(permits).where(permits.c.id == permit)
    row = c.execute(query.with_for_update() if for_write else query).mappings().first()
    if row is None:
        raise NotFoundError(
            f"there is no permit {permit!r}", hint="`tocsin permit list` names them"
        )
    return _kept(row)


def listed(
    c: Connection, *, sites: Collection[str] | None = None, live: bool = False, limit: int = 1000
) -> list[Kept]:
    """Newest first; of these sites, of those alone that a gateway watches."""
    query = select(permits).order_by(permits.c.id.desc()).limit(limit)
    if sites is not None:
        query = query.where(permits.c.site.in_(list(sites)))
    if live:
        query = query.where(permits.c.live)
    return [_kept(row) for row in c.execute(query).mappings()]


def unended(c: Connection, site: str) -> list[Kept]:
    """Permits of a site that have not ended, newest first."""
    query = select(permits).where(permits.c.site == site, permits.c.ended_ns.is_(None))
    return [_kept(row) for row in c.execute(query.order_by(permits.c.id.desc())).mappings()]


def ended(c: Connection) -> list[Kept]:
    """Those that have ended, oldest first."""
    query = select(permits).where(permits.c.ended_ns.is_not(None)).order_by(permits.c.id)
    return [_kept(row) for row in c.execute(query).mappings()]


def _values(kept: Kept) -> dict[str, object]:
    names = ("site", "space", "gateway", "live", "changed_ns", "told", "ended_ns", "keep_until_ns")
    return {**{n: getattr(kept, n) for n in names}, "state": kept.state.value}


def _basis(kept: Kept) -> bytes:
    return msgspec.json.encode(kept.basis)


def _kept(row: RowMapping) -> Kept:
    values = {name: row[name] for name in Kept.__slots__}
    values["state"] = State(row["state"])
    values["basis"] = msgspec.json.decode(bytes(row["basis"]), type=Basis)
    return Kept(**values)


def find(c: Connection, permit: str) -> Kept | None:
    """One of them, where there is one."""
    row = c.execute(select(permits).where(permits.c.id == permit)).mappings().first()
    return None if row is None else _kept(row)
