"""Which orders a lock still needs. Pure: (what it should hold, what it holds, what is under way, now) -> what to make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from tocsin.grants.lock_orders import MAX_REVOKED

TIME_EVERY_NS = (
    24 * 3600 * 10**9
)  # the cloud's own time: a stolen time key turns no clock further back
AGAIN_NS = 10 * 60 * 10**9  # after a refusal
REVOKE, ROTATE, TIME = "revoke", "rotate", "time"
TAKEN, REFUSED, REPLACED = "taken", "refused", "replaced"
CTI_BYTES, CTR_BYTES = 8, 4
Named = tuple[bytes, int]  # cti, ctr of one grant


@dataclass(frozen=True, slots=True)
class Order:
    """One order. Times are Unix ns; `kept_ns` is when its gateway had it on disk."""

    id: str
    lock: str
    kind: str
    min_ctr: int
    epoch: int
    named: tuple[Named, ...]
    kid: int
    body: bytes
    made_ns: int
    made_by: str
    gateway: str = ""
    kept_ns: int | None = None
    ended_ns: int | None = None
    outcome: str = ""
    reason: str = ""
    event_seq: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the lock has not answered it."""
        return self.ended_ns is None


@dataclass(frozen=True, slots=True)
class Held:
    """What a lock holds, as its commissioning and its answers tell, and since when. None: it never answered such an order."""

    min_ctr: int
    epoch: int
    kid: int
    named: frozenset[Named] = frozenset()
    revoked_ns: int | None = None
    rotated_ns: int | None = None
    time_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What it should hold. `named`: void grants that a lock would still take, not below `min_ctr`; `kid`: the newest issuer key."""

    min_ctr: int
    epoch: int
    named: frozenset[Named]
    kid: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make: REVOKEs of so many names each, ROTATEs to these keys, a TIME; and open orders that those take the place of."""

    revokes: tuple[tuple[Named, ...], ...] = ()
    rotates: tuple[int, ...] = ()
    time: bool = False
    replaced: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to make."""
        return not (self.revokes or self.rotates or self.time)


def taken(holds: Held, order: Order, at_ns: int) -> Held:
    """After the lock took an order. Everything only grows, whatever order the answers come in."""
    min_ctr = max(holds.min_ctr, order.min_ctr)
    return Held(
        min_ctr=min_ctr,
        epoch=max(holds.epoch, order.epoch),
        named=frozenset(n for n in holds.named | set(order.named) if n[1] >= min_ctr),
        kid=max(holds.kid, order.kid),
        revoked_ns=at_ns if order.kind == REVOKE else holds.revoked_ns,
        rotated_ns=at_ns if order.kind == ROTATE else holds.rotated_ns,
        time_ns=at_ns if order.kind == TIME else holds.time_ns,
    )


def plan(wanted: Wanted, holds: Held, orders: Collection[Order], now_ns: int) -> Plan:
    """`orders` are the open ones and those that were refused lately."""
    waits = {
        o.kind for o in orders
        if o.outcome == REFUSED and o.ended_ns is not None and now_ns - o.ended_ns < AGAIN_NS
    }  # fmt: skip
    opened = [o for o in orders if o.is_open]
    revokes, replaced = ((), ()) if REVOKE in waits else _revokes(wanted, holds, opened)
    under_way = max([holds.kid, *(o.kid for o in opened if o.kind == ROTATE)])
    rotates = () if ROTATE in waits else tuple(range(under_way + 1, wanted.kid + 1))
    is_told = holds.time_ns is not None and 0 <= now_ns - holds.time_ns < TIME_EVERY_NS
    has_time = is_told or TIME in waits or any(o.kind == TIME for o in opened)
    return Plan(revokes, rotates, not has_time, replaced)


def _revokes(
    wanted: Wanted, holds: Held, opened: Sequence[Order]
) -> tuple[tuple[tuple[Named, ...], ...], tuple[str, ...]]:
    """One that says all takes the place of those under way: so there are never more than the names need."""
    under_way = [o for o in opened if o.kind == REVOKE]
    min_ctr = max([holds.min_ctr, *(o.min_ctr for o in under_way)])
    epoch = max([holds.epoch, *(o.epoch for o in under_way)])
    covered = holds.named.union(*(o.named for o in under_way))
    missing = {n for n in wanted.named if n[1] >= min_ctr} - covered
    if wanted.min_ctr <= min_ctr and wanted.epoch <= epoch and not missing:
        return (), ()
    names = sorted({n for n in wanted.named if n[1] >= wanted.min_ctr} - holds.named, key=lambda n: n[1])  # fmt: skip
    parts = [tuple(names[at : at + MAX_REVOKED]) for at in range(0, len(names), MAX_REVOKED)]
    return tuple(parts) or ((),), tuple(o.id for o in under_way)


def is_complete(wanted: Wanted, holds: Held) -> bool:
    """Whether a lock holds everything but the time."""
    return (
        holds.min_ctr >= wanted.min_ctr
        and holds.epoch >= wanted.epoch
        and holds.kid >= wanted.kid
        and not {n for n in wanted.named if n[1] >= holds.min_ctr} - holds.named
    )


def pack_named(named: Iterable[Named]) -> bytes:
    """As a column holds them."""
    return b"".join(cti + ctr.to_bytes(CTR_BYTES, "big") for cti, ctr in named)


def unpack_named(data: bytes) -> tuple[Named, ...]:
    """The reverse."""
    step = CTI_BYTES + CTR_BYTES
    return tuple(
        (data[at : at + CTI_BYTES], int.from_bytes(data[at + CTI_BYTES : at + step], "big"))
        for at in range(0, len(data), step)
    )
