"""Orders to locks as rows, and what each lock should hold and holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, and_, delete, func, insert, or_, select, update

from cloud.lock_orders.model import (
    AGAIN_NS,
    REFUSED,
    Held,
    Named,
    Order,
    Wanted,
    pack_named,
    unpack_named,
)
from cloud.lock_orders.tables import lock_held, lock_orders
from cloud.permits.locks import Lock, all_locks
from cloud.permits.tables import grants, issuer_keys

MARGIN_NS = (
    120 * 10**9
)  # a lock's clock may be so far behind: a grant that ended just now is revoked all the same
MAX_ENDED = 200  # of one lock
_t = lock_orders.c


@dataclass(frozen=True, slots=True)
class Standing:
    """One lock: what it should hold, what it holds, and its orders that are open or were refused lately."""

    lock: Lock
    wanted: Wanted
    holds: Held
    orders: tuple[Order, ...]


def standings(c: Connection, now_ns: int) -> list[Standing]:
    """Of all locks, by site and device."""
    orders: dict[str, list[Order]] = defaultdict(list)
    lately = and_(_t.outcome == REFUSED, _t.ended_ns > now_ns - AGAIN_NS)
    query = select(lock_orders).where(or_(_t.ended_ns.is_(None), lately)).order_by(_t.id)
    for row in c.execute(query).mappings():
        orders[row["lock"]].append(_order(row))
    void: dict[str, set[Named]] = defaultdict(set)
    g = grants.c
    is_void = and_(g.void_ns.is_not(None), g.exp_ns > now_ns - MARGIN_NS)
    for lock, cti, ctr in c.execute(select(g.lock, g.cti, g.ctr).where(is_void)):
        void[lock].add((bytes.fromhex(cti), ctr))
    holds = {row["lock"]: _held(row) for row in c.execute(select(lock_held)).mappings()}
    kid = newest_kid(c)
    found = []
    for lock in all_locks(c):
        named = frozenset(n for n in void[lock.lock] if n[1] >= lock.min_ctr)
        wanted = Wanted(lock.min_ctr, lock.epoch, named, kid)
        found.append(Standing(lock, wanted, holds[lock.lock], tuple(orders[lock.lock])))
    return found


def newest_kid(c: Connection) -> int:
    """The number of the newest issuer key; 1 before the first was made, for that will be its number."""
    query = select(issuer_keys.c.kid).order_by(issuer_keys.c.kid.desc()).limit(1)
    return int(c.scalar(query) or 1)


def add(c: Connection, order: Order) -> None:
    """A new one."""
    c.execute(insert(lock_orders).values(**_values(order)))


def commissioned(c: Connection, lock: str, epoch: int) -> None:
    """A lock is taken in: it has the issuer's key that signs now from its maker. A rotation it knows already does no harm."""
    signs = select(func.max(issuer_keys.c.kid)).where(issuer_keys.c.issues_ns.is_not(None))
    save_held(c, lock, Held(0, epoch, int(c.scalar(signs) or 1)), is_new=True)


def held_by(c: Connection, lock: str) -> Held:
    """What one lock holds."""
    return _held(c.execute(select(lock_held).where(lock_held.c.lock == lock)).mappings().one())


def save_held(c: Connection, lock: str, holds: Held, *, is_new: bool = False) -> None:
    """It holds this now."""
    values = {n: getattr(holds, n) for n in Held.__slots__} | {"named": pack_named(holds.named)}
    if is_new:
        c.execute(insert(lock_held).values(lock=lock, **values))
    else:
        c.execute(update(lock_held).where(lock_held.c.lock == lock).values(**values))


def get(c: Connection, order: str) -> Order | None:
    """One of them."""
    row = c.execute(select(lock_orders).where(_t.id == order)).mappings().first()
    return None if row is None else _order(row)


def of_lock(c: Connection, lock: str, limit: int) -> list[Order]:
    """Everything a lock was ordered, newest first."""
    query = select(lock_orders).where(_t.lock == lock).order_by(_t.id.desc()).limit(limit)
    return [_order(row) for row in c.execute(query).mappings()]


def end(
    c: Connection, order: str, outcome: str, now_ns: int, *, reason: str = "", seq: int = 0
) -> None:
    """What came of it."""
    values = {"outcome": outcome, "ended_ns": now_ns, "reason": reason, "event_seq": seq}
    c.execute(update(lock_orders).where(_t.id == order).values(values))


def sent(c: Connection, orders: Iterable[str], gateway: str) -> None:
    """They go to this gateway now; that another kept them is of no use any more."""
    ids = list(orders)
    c.execute(
        update(lock_orders)
        .where(_t.id.in_(ids), _t.gateway != gateway)
        .values(gateway=gateway, kept_ns=None)
    )


def kept(c: Connection, orders: Iterable[str], gateway: str, now_ns: int) -> None:
    """Their gateway has them on disk."""
    mine = and_(_t.id.in_(list(orders)), _t.gateway == gateway, _t.kept_ns.is_(None))
    c.execute(update(lock_orders).where(mine).values(kept_ns=now_ns))


def prune(c: Connection, lock: str) -> None:
    """The oldest answers go."""
    old = and_(_t.lock == lock, _t.ended_ns.is_not(None))
    query = select(_t.id).where(old).order_by(_t.id.desc()).offset(MAX_ENDED).limit(1)
    last = c.scalar(query)
    if last is not None:
        c.execute(delete(lock_orders).where(old, _t.id <= last))


def _values(order: Order) -> dict[str, object]:
    values = {name: getattr(order, name) for name in Order.__slots__}
    return {**values, "named": pack_named(order.named)}


def _order(row: RowMapping) -> Order:
    values = {name: row[name] for name in Order.__slots__}
    values["named"] = unpack_named(bytes(row["named"]))
    return Order(**{**values, "body": bytes(row["body"])})


def _held(row: RowMapping) -> Held:
    values = {name: row[name] for name in Held.__slots__}
    return Held(**{**values, "named": frozenset(unpack_named(bytes(row["named"])))})
