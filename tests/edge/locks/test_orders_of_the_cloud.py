"""REVOKE, ROTATE and TIME of the cloud through unmodified bleak: kept until the lock answered, and what it answers then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest

from edge.locks.order_book import OrderBook
from firmware_bridges.lock.gatt import Profile
from tests.edge.locks.conftest import GATEWAY, ISSUER, ISSUERS, KID, Site
from tocsin.errors import DriverError, GrantRefusedError, OutboxError
from tocsin.grants.grant import issue, verify
from tocsin.grants.lock_keys import gateway_key, order_key
from tocsin.grants.lock_log import LockEventKind
from tocsin.grants.lock_messages import (
    NONCE,
    UP,
    LockDown,
    LockNonce,
    LockOrder,
    LockUp,
    SealedGatewayKey,
    sign_lock_down,
)
from tocsin.grants.lock_orders import (
    Order,
    RevokeOrder,
    RotateOrder,
    TimeOrder,
    maced_order,
    signed_order,
)
from tocsin.grants.primitives import public_key
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

KEY = b"gw-1-key"
NEXT, NEXT_SEED, LAST, LAST_SEED = b"\x00\x02", b"2" * 32, b"\x00\x03", b"3" * 32


@dataclass
class Cloud:
    """What the cloud sends to one gateway, and what it hears."""

    site: Site
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    full: bool = False
    on_nonce: Callable[[LockNonce], None] = lambda asked: None

    def book(self) -> OrderBook:
        """The gateway's, from its disk."""

        async def put_event(kind: str, device: str, text: str, data: dict[str, object]) -> None:
            if self.full:
                raise OutboxError("full")
            self.events.append((kind, data))
            if kind == NONCE:
                self.on_nonce(msgspec.convert(data, LockNonce))

        book = OrderBook(
            self.site.folder / "orders", "gw-1", SystemClock(),
            key=lambda: KEY, names=lambda: tuple(self.site.locks), put_event=put_event,
            say=lambda kind, device, text, data: self.events.append((kind, {"text": text})),
        )  # fmt: skip
        book.restore()
        book.connected = lambda: True
        book.unseal = lambda sealed, context: sealed
        book.wake = lambda lock: self.site.driver.wake(lock)
        self.site.rules.orders = book
        return book

    def order(
        self, order_id: str, order: Order, *, kid: bytes = KID, seed: bytes = ISSUER
    ) -> LockOrder:
        """Signed, or under K_order where the lock knows no signatures."""
        kinds = {RevokeOrder: "revoke", RotateOrder: "rotate", TimeOrder: "time"}
        kind, nonce = kinds[type(order)], getattr(order, "nonce", b"")
        if self.site.profile is Profile.MAC_ONLY and not isinstance(order, RotateOrder):
            raw = maced_order(order, order_key(self.site.keys["hatch-1"]))
            return LockOrder(order_id, kind, "maced", raw, nonce)  # type: ignore[arg-type]
        raw = signed_order(order, kid=kid, seed=seed)
        return LockOrder(order_id, kind, "signed", raw, nonce)  # type: ignore[arg-type]

    def down(self, *orders: LockOrder, keys: tuple[SealedGatewayKey, ...] = ()) -> bytes:
        """One message."""
        lock_id = self.site.lock_id("hatch-1")
        told = LockDown(1, "gw-1", "hatch-1", lock_id, orders, keys)
        return msgspec.json.encode(sign_lock_down(told, KEY))

    def outcomes(self) -> dict[str, str]:
        """Of every order with a result."""
        ups = [msgspec.convert(data, LockUp) for kind, data in self.events if kind == UP]
        return {r.id: r.reason or r.outcome for up in ups for r in up.results}


@pytest.fixture
def cloud(site: Site) -> Cloud:
    site.add()
    return Cloud(site)


async def test_a_revocation_waits_on_disk_until_the_lock_is_in_range_and_then_refuses_the_grant(
    site: Site, cloud: Cloud
) -> None:
    cloud.book()
    faults = site.faults["hatch-1"]
    first, second = site.grant(), site.grant()
    async with site.gateway():
        await site.unlock(first)
        faults.out_of_range = True
        named = verify(first.raw, ISSUERS).claims
        orders = (
            cloud.order("R1", RevokeOrder(named.aud, 0, 1, ((named.cti, named.ctr),))),
            cloud.order("R2", RevokeOrder(named.aud, 3, 1)),
        )
        assert site.rules.orders is not None
        await site.rules.orders.take(cloud.down(*orders))
        await wait_until(lambda: bool(site.errors))
    assert cloud.outcomes() == {}
    kept = [msgspec.convert(data, LockUp).kept for kind, data in cloud.events if kind == UP]
    assert kept == [("R1", "R2")]

    book = cloud.book()  # the gateway was started anew
    assert [order.id for order in book.pending(named.aud)] == ["R1", "R2"]
    faults.out_of_range = False
    async with site.gateway():
        await wait_until(lambda: cloud.outcomes() == {"R1": "taken", "R2": "taken"})
        assert book.pending(named.aud) == ()
        with pytest.raises((DriverError, GrantRefusedError), match=r"revoked|below"):
            await site.unlock(second)
        await site.unlock(site.grant())
    seen = [e.kind for e in site.journalled()]
    assert seen.count(LockEventKind.REVOKED) == 2
    await cloud.book().take(cloud.down(*orders))  # the cloud had not heard of it
    assert cloud.outcomes() == {"R1": "taken", "R2": "taken"}


async def test_what_is_revoked_is_told_before_a_holder_gets_a_nonce(
    site: Site, cloud: Cloud
) -> None:
    book = cloud.book()
    async with site.gateway():
        book.wake = lambda lock: None  # nothing but the holder's own tap contacts the lock
        grant = site.grant()
        await book.take(cloud.down(cloud.order("R1", RevokeOrder(site.lock_id("hatch-1"), 9, 1))))
        with pytest.raises((DriverError, GrantRefusedError), match=r"revoked|below"):
            await site.unlock(grant)
        assert cloud.outcomes() == {"R1": "taken"}


async def test_a_lock_that_vanishes_over_an_order_is_told_once_more_and_nothing_is_doubled(
    site: Site, cloud: Cloud
) -> None:
    book = cloud.book()
    async with site.gateway():
        site.faults["hatch-1"].drop_after_write = 2  # HELLO, then the order: taken, its answer lost
        await book.take(cloud.down(cloud.order("R1", RevokeOrder(site.lock_id("hatch-1"), 9, 1))))
        await wait_until(lambda: site.locks["hatch-1"].lock.state.durable.min_ctr == 9)
        assert cloud.outcomes() == {}, "nobody knows yet"
        await wait_until(lambda: cloud.outcomes() == {"R1": "taken"})
        await wait_until(lambda: LockEventKind.REVOKED in [e.kind for e in site.journalled()])
    assert [e.kind for e in site.journalled()].count(LockEventKind.REVOKED) == 1


async def test_a_raised_gateway_epoch_is_followed_by_the_key_that_came_with_it(
    site: Site, cloud: Cloud
) -> None:
    book = cloud.book()
    async with site.gateway():
        key = gateway_key(site.keys["hatch-1"], GATEWAY, 2)
        raised = cloud.order("R1", RevokeOrder(site.lock_id("hatch-1"), 0, 2))
        await book.take(cloud.down(raised, keys=(SealedGatewayKey(2, key),)))
        await wait_until(lambda: cloud.outcomes() == {"R1": "taken"})
        await site.unlock()
    cloud.book()  # from the disk
    site.samples.clear()
    async with site.gateway():
        assert site.state().available


async def test_a_rotation_goes_on_from_key_to_key_and_the_oldest_is_refused(
    site: Site, cloud: Cloud
) -> None:
    book, lock_id = cloud.book(), site.lock_id("hatch-1")
    rotations = (
        cloud.order("K2", RotateOrder(lock_id, NEXT, public_key(NEXT_SEED))),
        cloud.order("K3", RotateOrder(lock_id, LAST, public_key(LAST_SEED)), kid=NEXT, seed=NEXT_SEED),
    )  # fmt: skip
    async with site.gateway():
        old = site.grant()
        await book.take(cloud.down(rotations[0]))
        await wait_until(lambda: cloud.outcomes() == {"K2": "taken"})
        await site.unlock(old)  # both are known
        await book.take(cloud.down(rotations[1]))
        await wait_until(lambda: cloud.outcomes() == {"K2": "taken", "K3": "taken"})
        with pytest.raises((DriverError, GrantRefusedError), match="not one of ours"):
            await site.unlock(site.grant())
        held = book.issuers(lock_id, ISSUERS)
        assert set(held.keys) == {NEXT, LAST}
        if site.profile is Profile.SIGNATURES:
            durable = site.locks["hatch-1"].lock.state.durable
            assert durable.issuers == held
        forged = cloud.order("K9", RotateOrder(lock_id, b"\x00\x09", public_key(b"x" * 32)))
        await book.take(cloud.down(forged))
        await wait_until(lambda: cloud.outcomes().get("K9") == "bad-signature")
        assert book.issuers(lock_id, ISSUERS) == held
    again = cloud.book()
    assert again.issuers(lock_id, ISSUERS) == held, "as it was kept"
    fresh = issue(verify(old.raw, ISSUERS).claims, kid=NEXT, seed=NEXT_SEED)
    assert verify(fresh.raw, again.issuers(lock_id, ISSUERS)).claims.ctr


async def test_the_cloud_signs_the_time_over_the_nonce_of_a_session_that_waits_for_it(
    site: Site, cloud: Cloud
) -> None:
    book, lock_id = cloud.book(), site.lock_id("hatch-1")
    site.rules.tells_time = False
    asked: list[LockNonce] = []
    cloud.on_nonce = asked.append
    async with site.gateway():
        assert site.state().time_quality == 0
        await book.take(cloud.down(LockOrder("T1", "time")))
        await wait_until(lambda: bool(asked))
        nonce = bytes.fromhex(asked[0].nonce)
        signed = cloud.order("T1", TimeOrder(lock_id, int(time.time()), nonce, 2))
        await book.take(cloud.down(msgspec.structs.replace(signed, nonce=bytes(16))))  # another's
        await book.take(cloud.down(signed))
        await wait_until(lambda: cloud.outcomes() == {"T1": "taken"})
        await site.unlock()
    assert LockEventKind.TIME_SET in [e.kind for e in site.journalled()]


async def test_what_is_wrong_with_orders_is_told_and_harms_nothing(
    site: Site, cloud: Cloud
) -> None:
    book, lock_id = cloud.book(), site.lock_id("hatch-1")
    good = msgspec.json.decode(
        cloud.down(cloud.order("R1", RevokeOrder(lock_id, 9, 1))), type=LockDown
    )
    for wrong in (
        b"{", b"x" * 70_000, b'{"v":1}',
        msgspec.json.encode(msgspec.structs.replace(good, lock="hatch-9")),
        msgspec.json.encode(sign_lock_down(msgspec.structs.replace(good, gateway="gw-2"), KEY)),
        msgspec.json.encode(sign_lock_down(msgspec.structs.replace(good, lock="hatch-9"), KEY)),
        msgspec.json.encode(sign_lock_down(msgspec.structs.replace(good, orders=good.orders * 65), KEY)),
    ):  # fmt: skip
        await book.take(wrong)
    assert book.counters["down_refused"] == 7
    assert len([kind for kind, _ in cloud.events if kind == "lock.orders-refused"]) == 7
    assert book.pending(lock_id) == ()
    async with site.gateway():
        other = cloud.order("R2", RevokeOrder(b"lock9999", 9, 1))
        cloud.full = True
        await book.take(cloud.down(other))
        await wait_until(lambda: site.locks["hatch-1"].lock.state.log[-1].event[9] == 7)
        cloud.full = False  # the outbox takes it again: the lock is asked once more
        site.driver.wake("hatch-1")
        await wait_until(lambda: cloud.outcomes().get("R2") is not None)
        assert cloud.outcomes()["R2"] in ("wrong-lock", "bad-signature")
        await site.unlock()
