"""What permits stand on and people enter: spaces, instruments, and who is trained and fit."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, insert, select, update

from cloud.db import alone, read
from cloud.permits.tables import permit_ledger
from tocsin.contract.ids import ulid
from tocsin.errors import NotFoundError, StoreError
from tocsin.permits.context import Instrument
from tocsin.permits.space import Space
from tocsin.sdk import Clock


class Qualified(msgspec.Struct, frozen=True):
    """How long somebody's training and medical examination count. Unix ns."""

    account: str
    trained_until_ns: int
    fit_until_ns: int


class AskedKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A phone key made at a gateway's page that waits to be confirmed; `refused`: why it never will be."""

    holder: str
    site: str
    account: str
    public: bytes
    proof: bytes
    gateway: str
    asked_ns: int
    refused: str = ""


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody did to keys, which stays. `about`: site/device of a lock, or an issuer key."""

    id: str
    at_ns: int
    by: str
    what: str
    about: str
    site: str = ""
    reason: str = ""


class LedgerChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody changed here, which stays. `before` and `after` are JSON, "" where there was none; `kind`: see `KEPT`, or `roles`."""

    id: str
    at_ns: int
    by: str
    kind: str
    about: str
    site: str
    before: str
    after: str


Item = Space | Instrument | Qualified | AskedKey | Change | LedgerChange
T = TypeVar("T", Space, Instrument, Qualified, AskedKey, Change, LedgerChange)
KINDS: dict[type[Item], str] = {
    Space: "space",
    Instrument: "instrument",
    Qualified: "person",
    AskedKey: "asked-key",
    Change: "change",
    LedgerChange: "ledger-change",
}
KEPT = frozenset({"space", "instrument", "person"})  # a change of these leaves an entry
ROLES = "roles"


class Ledger:
    """All of one state database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def put(self, site: str, key: str, item: Item, by: str) -> None:
        """Enter it, in place of what was there under its id, with an entry that says what was there."""
        now_ns, kind = self._clock.now_ns(), KINDS[type(item)]
        with self._engine.begin() as c:
            if kind in KEPT:
                alone(c, permit_ledger)
                before = c.scalar(select(permit_ledger.c.body).where(_at(kind, site, key)))
                was = bytes(before).decode() if before is not None else ""
                note(c, site, kind, key, by, now_ns, was, msgspec.json.encode(item).decode())
            put(c, site, key, item, by, now_ns)

    def changes(self, sites: Collection[str] | None = None, limit: int = 100) -> list[LedgerChange]:
        """At these sites, newest first; roles reach across sites."""
        t = permit_ledger.c
        query = select(permit_ledger).where(t.kind == KINDS[LedgerChange])
        if sites is not None:
            query = query.where(t.site.in_(sites))
        with read(self._engine) as c:
            rows = c.execute(query.order_by(t.id.desc()).limit(limit)).mappings().all()
        return [_read(bytes(r["body"]), LedgerChange, str(r["id"])) for r in rows]

    def remove(self, kind: type[Item], site: str, key: str) -> None:
        """Take it out; permits that name it keep what they were written with.

        Raises:
            NotFoundError: it is not there.
        """
        with self._engine.begin() as c:
            if not remove(c, kind, site, key):
                raise NotFoundError(f"there is no {KINDS[kind]} {key!r} at {site or 'any site'}")

    def all(self, kind: type[T], site: str | None = None) -> list[T]:
        """By site and id; of one site where it is named."""
        with read(self._engine) as c:
            return items(c, kind, site)

    def get(self, kind: type[T], site: str, key: str) -> T:
        """One of them.

        Raises:
            NotFoundError: it is not there.
        """
        with read(self._engine) as c:
            return item(c, kind, site, key)


def note(
    c: Connection, site: str, kind: str, about: str, by: str, now_ns: int, before: str, after: str
) -> None:
    """An entry on a change, where it is one."""
    if before != after:
        change = LedgerChange(ulid(now_ns), now_ns, by, kind, about, site, before, after)
        put(c, site, change.id, change, by, now_ns)


def put(c: Connection, site: str, key: str, item: Item, by: str, now_ns: int) -> None:
    """Enter it, in place of what was there under its id."""
    kind = KINDS[type(item)]
    values = {"body": msgspec.json.encode(item), "changed_ns": now_ns, "changed_by": by}
    changed = c.execute(update(permit_ledger).where(_at(kind, site, key)).values(values))
    if changed.rowcount == 0:
        alone(c, permit_ledger)
        changed = c.execute(update(permit_ledger).where(_at(kind, site, key)).values(values))
    if changed.rowcount == 0:
        c.execute(insert(permit_ledger).values(kind=kind, site=site, id=key, **values))


def remove(c: Connection, kind: type[Item], site: str, key: str) -> bool:
    """Whether it was there."""
    return c.execute(delete(permit_ledger).where(_at(KINDS[kind], site, key))).rowcount > 0


def items(c: Connection, kind: type[T], site: str | None = None) -> list[T]:
    """By site and id; of one site where it is named."""
    query = select(permit_ledger).where(permit_ledger.c.kind == KINDS[kind])
    if site is not None:
        query = query.where(permit_ledger.c.site == site)
    rows = c.execute(query.order_by(permit_ledger.c.site, permit_ledger.c.id)).mappings()
    return [_read(bytes(r["body"]), kind, str(r["id"])) for r in rows]


def item(c: Connection, kind: type[T], site: str, key: str) -> T:
    """One of them.

    Raises:
        NotFoundError: it is not there.
    """
    body = c.scalar(select(permit_ledger.c.body).where(_at(KINDS[kind], site, key)))
    if body is None:
        raise NotFoundError(
            f"there is no {KINDS[kind]} {key!r}" + (f" at {site!r}" if site else ""),
            hint=f"a technician enters it: PUT /api/v1/permits/{KINDS[kind]}s/...",
        )
    return _read(bytes(body), kind, key)


def _read(body: bytes, kind: type[T], key: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as exc:
        raise StoreError(f"the ledger's {KINDS[kind]} {key!r} cannot be read: {exc}") from exc


def _at(kind: str, site: str, key: str) -> ColumnElement[bool]:
    t = permit_ledger.c
    return and_(t.kind == kind, t.site == site, t.id == key)
