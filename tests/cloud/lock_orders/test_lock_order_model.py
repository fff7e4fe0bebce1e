"""Whatever is revoked, rotated and answered in whatever order: what is planned brings the lock to what it should hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import hypothesis.strategies as st
from hypothesis import given

from cloud.lock_orders.model import (
    AGAIN_NS,
    REFUSED,
    REVOKE,
    ROTATE,
    TAKEN,
    TIME,
    TIME_EVERY_NS,
    Held,
    Named,
    Order,
    Wanted,
    is_complete,
    pack_named,
    plan,
    taken,
    unpack_named,
)
from tocsin.grants.lock_orders import MAX_REVOKED

NOW = 1_800_000_000 * 10**9
NUMBERS = count()
NAMES = st.frozensets(st.tuples(st.binary(min_size=8, max_size=8), st.integers(0, 30)), max_size=20)


def made(kind: str, number: int, **said: object) -> Order:
    bare = Order(f"{number:026}", "lock", kind, 0, 0, (), 0, b"", NOW, "cloud")
    return replace(bare, **said)  # type: ignore[arg-type]


def orders_of(wanted: Wanted, holds: Held, opened: list[Order], now_ns: int = NOW) -> list[Order]:
    """The open orders after a plan was carried out."""
    needs = plan(wanted, holds, opened, now_ns)
    kept = [o for o in opened if o.id not in needs.replaced]
    for named in needs.revokes:
        assert len(named) <= MAX_REVOKED
        said = {"min_ctr": wanted.min_ctr, "epoch": wanted.epoch, "named": named}
        kept.append(made(REVOKE, next(NUMBERS), **said))
    kept += [made(ROTATE, next(NUMBERS), kid=kid) for kid in needs.rotates]
    if needs.time:
        kept.append(made(TIME, next(NUMBERS)))
    return kept


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 3), NAMES, st.integers(1, 4), st.integers(0, 5)),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_a_lock_that_answers_everything_ends_up_with_all_it_should_hold(
    steps: list[tuple[int, int, frozenset[Named], int, int]],
) -> None:
    holds = Held(0, 1, 1)
    opened: list[Order] = []
    wanted = Wanted(0, 1, frozenset(), 1)
    for min_ctr, epoch, named, kid, answered in steps:
        min_ctr = max(min_ctr, wanted.min_ctr)
        names = {n for n in wanted.named | named if n[1] >= min_ctr}
        wanted = Wanted(min_ctr, max(epoch, wanted.epoch), frozenset(names), max(kid, wanted.kid))
        opened = orders_of(wanted, holds, opened)
        assert plan(wanted, holds, opened, NOW).is_empty
        assert len([o for o in opened if o.kind == REVOKE]) <= len(names) // MAX_REVOKED + 1
        for order in opened[:answered]:
            holds = taken(holds, order, NOW)
        opened = opened[answered:]
        assert holds.min_ctr <= wanted.min_ctr
    for order in reversed(opened):
        holds = taken(holds, order, NOW)
    assert is_complete(wanted, holds)
    assert plan(wanted, holds, [], NOW).is_empty
    assert frozenset(unpack_named(pack_named(wanted.named))) == wanted.named


def test_the_time_is_told_once_a_day_and_a_refusal_is_not_repeated_at_once() -> None:
    wanted, holds = Wanted(5, 1, frozenset(), 2), Held(0, 1, 1)
    assert plan(wanted, holds, [], NOW).time
    told = taken(holds, made(TIME, 1), NOW)
    assert not plan(wanted, told, [], NOW + TIME_EVERY_NS - 1).time
    assert plan(wanted, told, [], NOW + TIME_EVERY_NS).time
    said_no = [
        made(kind, n, outcome=REFUSED, ended_ns=NOW) for n, kind in enumerate((REVOKE, ROTATE, TIME))
    ]  # fmt: skip
    assert plan(wanted, holds, said_no, NOW + AGAIN_NS - 1).is_empty
    again = plan(wanted, holds, said_no, NOW + AGAIN_NS)
    assert (again.revokes, again.rotates, again.time) == (((),), (2,), True)
    answered = made(REVOKE, 4, outcome=TAKEN, ended_ns=NOW, min_ctr=5, epoch=1)
    assert not is_complete(wanted, taken(holds, answered, NOW)), "the key is still to come"
