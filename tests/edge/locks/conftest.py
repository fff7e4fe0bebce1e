"""A gateway's lock driver with unmodified bleak, and virtual locks behind a BlueZ on a private D-Bus."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from edge.drivers.lock.config import LockConfig
from edge.drivers.lock.driver import LockDriver
from edge.locks.interface import Headcount, HeldGrant, HolderProof, LockNews, LockState, TimeKey
from edge.locks.order_book import OrderBook
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.peripheral import LockPeripheral
from firmware_bridges.lock.state import Identity
from firmware_bridges.lock.virtual import VirtualLock
from tocsin.errors import DriverError
from tocsin.grants.claims import Claims, Op, encode_claims, holder_id
from tocsin.grants.grant import PROOF_UNLOCK, capability_key, issue, prove
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_keys import advert_key, gateway_key, time_key
from tocsin.grants.lock_log import LockEvent, decode_event
from tocsin.grants.primitives import public_key
from tocsin.sdk import DriverContext, Sample, SystemClock
from tocsin.testing import bluez, wait_until
from tocsin.testing.contexts import keeping

GATEWAY, KID, ISSUER = b"gateway1", b"\x00\x01", bytes(range(32))
HOLDER, OTHER = b"h" * 32, b"o" * 32  # seeds of two people's keys
ISSUERS = IssuerKeys({KID: public_key(ISSUER)})
PERMIT = b"permit-1"


class LockClock:
    """Seconds as the locks count them; `ahead_s` lets them pass without waiting."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


class Rules:
    """What the rest of the gateway says: no permit stands against anything, and the cloud lent every time key."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._keys = keys
        self.orders: OrderBook | None = None
        self.against = ""
        self.against_relock: list[str] = []  # one word each time it is asked; none left: nothing
        self.kept: dict[bytes, bytes] = {}  # capabilities by grant
        self.knows = True
        self.tells_time = True
        self.news: list[LockNews] = []

    def why_not(self, lock: str, claims: Claims) -> str:
        return self.against

    def why_not_relock(self, lock: str) -> str:
        return self.against_relock.pop(0) if self.against_relock else ""

    def capability(self, claims: Claims) -> bytes | None:
        return self.kept.get(claims.cti)

    def knows_time(self) -> bool:
        return self.knows

    def clock_error_s(self) -> int | None:
        return 1 if self.tells_time else None

    def time_key(self, lock: str) -> TimeKey | None:
        now_s = int(time.time())
        since, until = now_s - 60, now_s + 3600
        return TimeKey(time_key(self._keys[lock], GATEWAY, since, until), since, until)

    def hear(self, news: LockNews) -> None:
        self.news.append(news)


class Site:
    """Locks in the air and the gateway that deals with them."""

    def __init__(self, profile: Profile, folder: Path) -> None:
        self.profile, self.folder = profile, folder
        self.adapter = bluez.Adapter()
        self.clock = LockClock()
        self.locks: dict[str, LockPeripheral] = {}
        self.faults: dict[str, bluez.Faults] = {}
        self.keys: dict[str, bytes] = {}
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()
        self.errors: list[DriverError] = []
        self.events: list[tuple[str, str, str, dict[str, object]]] = []
        self.frames: list[tuple[str, bytes]] = []
        self.rules = Rules(self.keys)
        self.driver: LockDriver
        self.counter = 0

    def lock_id(self, name: str) -> bytes:
        return self.locks[name].lock.identity.lock_id

    def add(self, name: str = "hatch-1") -> LockPeripheral:
        """A lock in range."""
        number = len(self.locks) + 1
        identity = Identity(b"lock%04d" % number, self.profile, os.urandom(32))
        lock = VirtualLock(identity, ISSUERS, entropy=os.urandom, seconds=self.clock)
        found = LockPeripheral(lock, f"C0:FF:EE:00:00:{number:02X}")
        self.locks[name], self.keys[name] = found, identity.k_lock
        self.faults[name] = self.adapter.place(found)
        return found

    def config(self, *, by_address: bool = False, **more: object) -> LockConfig:
        devices: list[dict[str, str]] = [
            {
                "id": name,
                "lock_id": one.lock.identity.lock_id.hex(),
                "key": gateway_key(self.keys[name], GATEWAY, 1).hex(),
                **(
                    {"address": one.address}
                    if by_address
                    else {"advert_key": advert_key(self.keys[name]).hex()}
                ),
            }
            for name, one in self.locks.items()
        ]
        return LockConfig.model_validate(
            {
                "type": "lock",
                "name": "locks",
                "gateway_id": GATEWAY.hex(),
                "issuers": [{"kid": KID.hex(), "public": public_key(ISSUER).hex()}],
                "find_s": 1,
                "connect_s": 0.5,
                "log_dir": str(self.folder),
                "devices": devices,
            }
            | more
        )

    @asynccontextmanager
    async def gateway(
        self, *, patience_s: float = 30.0, by_address: bool = False, **more: object
    ) -> AsyncIterator[LockDriver]:
        """The driver, running, once it has read every lock that is in range."""

        async def emit(sample: Sample) -> None:
            self.samples.append(sample)

        async def tell(kind: str, device: str, text: str, data: dict[str, object]) -> None:
            self.events.append((kind, device, text, data))

        context = DriverContext(
            name="locks",
            clock=SystemClock(),
            log=logging.getLogger("test.locks"),
            emit=emit,
            keep=keeping(emit),
            available=lambda device: None,
            unavailable=lambda device, error: self.errors.append(error),
            count=lambda name, n: self.counts.update({name: n}),
            frame=lambda device, direction, data: self.frames.append((direction, data)),
            tell=tell,
        )
        self.driver = LockDriver(self.config(by_address=by_address, **more), context)
        self.driver.rules = self.rules
        running = asyncio.create_task(self.driver.run())
        try:
            await wait_until(
                lambda: running.done() or {s.spec.id for s in self.samples} >= set(self.in_range()),
                patience_s,
            )
            if running.done():
                await running
            yield self.driver
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def in_range(self) -> list[str]:
        return [name for name, faults in self.faults.items() if not faults.out_of_range]

    def grant(self, name: str = "hatch-1", *, seed: bytes = HOLDER, **claims: Any) -> HeldGrant:
        """A live grant for this lock and holder, unless `claims` say otherwise."""
        now_s = int(time.time())
        self.counter += 1
        said: dict[str, Any] = {
            "cti": os.urandom(8),
            "sub": holder_id(public_key(seed)),
            "aud": self.lock_id(name),
            "nbf": now_s - 5,
            "exp": now_s + 600,
            "pmt": PERMIT,
            "ctr": self.counter,
            "ops": Op.UNLOCK | Op.RELOCK,
        }
        made = Claims(**(said | claims))
        raw = issue(made, kid=KID, seed=ISSUER).raw
        capability = None
        if self.profile is Profile.MAC_ONLY:
            capability = capability_key(self.keys[name], encode_claims(made))
        return HeldGrant(raw, capability)

    async def challenge(self, name: str = "hatch-1") -> bytes:
        told = await self.driver.command(name, "challenge", {}, 30)
        return bytes.fromhex(told["nonce"])

    def proof(
        self, nonce: bytes, grant: HeldGrant, name: str = "hatch-1", seed: bytes = HOLDER
    ) -> HolderProof:
        from tocsin.grants.grant import verify

        cti = verify(grant.raw, ISSUERS).claims.cti
        return HolderProof(
            public_key(seed), prove(seed, PROOF_UNLOCK, nonce, self.lock_id(name), cti)
        )

    async def unlock(
        self, grant: HeldGrant | None = None, name: str = "hatch-1", seed: bytes = HOLDER
    ) -> dict[str, Any]:
        """Challenge, proof and unlock, as a phone and the gateway do it together."""
        grant = grant or self.grant(name, seed=seed)
        return await self.opened(await self.challenge(name), grant, name, seed)

    async def opened(
        self, nonce: bytes, grant: HeldGrant, name: str = "hatch-1", seed: bytes = HOLDER
    ) -> dict[str, Any]:
        """The second half of `unlock`."""
        proof = self.proof(nonce, grant, name, seed)
        args = {"nonce": nonce, "grant": grant, "proof": proof}
        return await self.driver.command(name, "unlock", args, 30)

    def state(self, name: str = "hatch-1") -> LockState:
        """What the gateway knows of a lock."""
        return self.driver._clients[name].state

    @property
    def moving_write(self) -> int:
        """Which write after the challenge moves the bolt: the capability, or the proof after the grant."""
        return 1 if self.profile is Profile.MAC_ONLY else 2

    def at_move(
        self, before: Callable[[], object], after: Callable[[], object], nth: int = 0
    ) -> None:
        """Do something just before and just after the nth write from now: that which moves the bolt in an unlock."""
        lock = self.locks["hatch-1"]
        left, write = nth or self.moving_write, lock.write

        def hooked(uuid: str, value: bytes) -> None:
            nonlocal left
            left -= 1
            if left:
                write(uuid, value)
                return
            lock.write = write  # type: ignore[method-assign]
            before()
            try:
                write(uuid, value)
            finally:
                after()

        lock.write = hooked  # type: ignore[method-assign]

    def journalled(self) -> list[LockEvent]:
        """The events of the locks' logs that the gateway journalled, in order."""
        return [
            decode_event(bytes.fromhex(raw))[0]
            for data in self.told("lock.log")
            for raw in cast("list[str]", data["events"])
        ]

    async def relock(
        self, grant: HeldGrant, inside: int | None = 0, name: str = "hatch-1"
    ) -> dict[str, Any]:
        headcount = Headcount(inside, "zhang", time.time_ns())
        args = {"grant": grant, "headcount": headcount}
        return await self.driver.command(name, "relock", args, 30)

    def told(self, kind: str) -> list[dict[str, object]]:
        """The data of all events of a kind."""
        return [data for found, _, _, data in self.events if found == kind]


@pytest.fixture(params=[Profile.MAC_ONLY, Profile.SIGNATURES], ids=["A", "B"])
async def site(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Site]:
    """A site whose locks are of either profile."""
    async with AsyncExitStack() as stack:
        address = stack.enter_context(bluez.private_bus())
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        site = Site(request.param, tmp_path)
        await stack.enter_async_context(site.adapter.run(address))
        ticking = asyncio.create_task(_tick(site))
        try:
            yield site
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)


async def _tick(site: Site) -> None:
    while True:
        await asyncio.sleep(0.05)
        for lock in site.locks.values():
            lock.tick()
