"""Orders of the cloud to this gateway's locks: on disk until the lock has answered, handed over at the next contact."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from edge.durable import write_durably
from tocsin.errors import GrantRefusedError, OutboxError
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_messages import (
    NONCE,
    UP,
    VERSION,
    LockDown,
    LockNonce,
    LockOrder,
    LockUp,
    OrderResult,
    Outcome,
    SealedGatewayKey,
    is_signed_lock_down,
    key_context,
)
from tocsin.grants.lock_orders import ROTATE, RotateOrder, read_signed
from tocsin.sdk import Clock

MAX_DOWN_BYTES = 64 << 10
MAX_ORDERS = 64  # of one lock; the cloud merges what it revokes, so that it never has as many
MAX_ROTATIONS = 64  # remembered: a configuration that names an older key is still followed
TIME_ANSWER_S = 5.0  # the cloud's answer to a nonce; a later one would tell a stale time
_log = logging.getLogger("edge.locks")


class _Kept(msgspec.Struct, frozen=True):
    """The file of one lock. `results` are of orders that the cloud still names."""

    lock: str
    lock_id: bytes
    orders: tuple[LockOrder, ...] = ()
    results: tuple[OrderResult, ...] = ()
    keys: tuple[SealedGatewayKey, ...] = ()
    rotations: tuple[bytes, ...] = ()  # ROTATE orders, the oldest first

    @property
    def pending(self) -> tuple[LockOrder, ...]:
        """Those without a result."""
        answered = {r.id for r in self.results}
        return tuple(o for o in self.orders if o.id not in answered)


class OrderBook:
    """One file a lock in `folder`. `put_event` returns when the event is durable; `names` are the configured locks' device ids."""

    def __init__(
        self,
        folder: Path,
        gateway: str,
        clock: Clock,
        *,
        key: Callable[[], bytes],
        names: Callable[[], tuple[str, ...]],
        put_event: Callable[[str, str, str, dict[str, object]], Awaitable[object]],
        say: Callable[[str, str, str, dict[str, object]], None],
    ) -> None:
        self._folder, self._gateway, self._clock = folder, gateway, clock
        self._key, self._names, self._put_event, self._say = key, names, put_event, say
        self._kept: dict[bytes, _Kept] = {}
        self._issuers: dict[bytes, tuple[IssuerKeys, tuple[bytes, ...], IssuerKeys]] = {}
        self._waiting: dict[str, tuple[bytes, asyncio.Future[LockOrder]]] = {}
        self._turn = asyncio.Lock()
        self._said: set[str] = set()
        self.counters: Counter[str] = Counter()
        self.wake: Callable[[str], None] = lambda lock: None
        self.unseal: Callable[[bytes, bytes], bytes | None] = lambda sealed, context: None
        self.connected: Callable[[], bool] = lambda: False

    def restore(self) -> None:
        """Take up what the last run kept; a file that cannot be read is said, and the cloud sends it again."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as exc:
                _log.error("orders to a lock cannot be read and are left out: %s: %s", path, exc)
                continue
            self._kept[kept.lock_id] = kept

    async def take(self, payload: bytes) -> None:
        """A message from `down/lock`; what is wrong with one is logged, counted, and harms nothing."""
        if len(payload) > MAX_DOWN_BYTES:
            self._refuse(f"{len(payload)} bytes, at most {MAX_DOWN_BYTES}")
            return
        try:
            told = msgspec.json.decode(payload, type=LockDown)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            self._refuse(f"no orders: {exc}")
            return
        if not is_signed_lock_down(told, self._key()):
            self._refuse(f"{told.lock}: the signature does not fit")
        elif (told.v, told.gateway) != (VERSION, self._gateway):
            self._refuse(f"{told.lock}: version {told.v} for gateway {told.gateway}")
        elif told.lock not in self._names():
            self._refuse(f"{told.lock}: no such lock here")
        elif len(told.orders) > MAX_ORDERS:
            self._refuse(f"{told.lock}: {len(told.orders)} orders, at most {MAX_ORDERS}")
        else:
            for order in told.orders:
                self._time_came(order)
            async with self._turn:
                await self._take(told)

    async def _take(self, told: LockDown) -> None:
        before = self._kept.get(told.lock_id) or _Kept(told.lock, told.lock_id)
        ids = {o.id for o in told.orders}
        rotations = [*before.rotations]
        rotations += [o.order for o in told.orders if o.kind == "rotate" and o.order not in rotations]  # fmt: skip
        after = _Kept(
            told.lock,
            told.lock_id,
            tuple(_bare(o) for o in told.orders),
            tuple(r for r in before.results if r.id in ids),
            told.keys,
            tuple(rotations[-MAX_ROTATIONS:]),
        )
        self._kept[told.lock_id] = after
        kept = True if after == before else await self._write(after)
        answers_nonce = any(order.nonce for order in told.orders)
        if kept and told.orders and not answers_nonce:
            up = self._up(after, after.results)
            await self._told(after.lock, f"{len(after.pending)} orders wait for the lock", up)
        if after.pending and after != before:
            self.wake(told.lock)

    def pending(self, lock_id: bytes) -> tuple[LockOrder, ...]:
        """What a lock has not answered, the oldest first."""
        kept = self._kept.get(lock_id)
        return kept.pending if kept else ()

    def is_urgent(self, lock_id: bytes) -> bool:
        """Whether something waits that need not wait for the cloud."""
        return any(order.kind != "time" for order in self.pending(lock_id))

    async def answered(
        self, lock_id: bytes, order: LockOrder, outcome: Outcome, reason: str = "", seq: int = 0
    ) -> None:
        """The lock has answered: told upwards, then forgotten with the next message of the cloud."""
        async with self._turn:
            kept = self._kept[lock_id]
            now_ns = self._clock.now_ns()
            result = OrderResult(order.id, outcome, now_ns, reason, seq)
            after = msgspec.structs.replace(kept, results=(*kept.results, result))
            text = f"{order.kind}: {outcome}" + (f", {reason}" if reason else "")
            if await self._told(kept.lock, text, self._up(after, (result,))):
                self._kept[lock_id] = after
                await self._write(after)

    async def time_for(self, lock_id: bytes, order: LockOrder, nonce: bytes) -> LockOrder | None:
        """The TIME order bound to a nonce, signed by the cloud just now; None where it does not answer in time."""
        if not self.connected() or order.id in self._waiting:
            return None
        kept = self._kept[lock_id]
        asked = LockNonce(VERSION, lock_id.hex(), order.id, nonce.hex())
        future: asyncio.Future[LockOrder] = asyncio.get_running_loop().create_future()
        self._waiting[order.id] = (nonce, future)
        try:
            data: dict[str, object] = msgspec.to_builtins(asked)
            await self._put_event(NONCE, kept.lock, "asks the cloud for the time", data)
            async with asyncio.timeout(TIME_ANSWER_S):
                return await future
        except (TimeoutError, OutboxError):
            return None
        finally:
            del self._waiting[order.id]

    def _time_came(self, order: LockOrder) -> None:
        nonce, future = self._waiting.get(order.id, (b"", None))
        if future is not None and order.order and order.nonce == nonce and not future.done():
            future.set_result(order)

    def issuers(self, lock_id: bytes, configured: IssuerKeys) -> IssuerKeys:
        """Whose grants open a lock: the configured keys, and those that followed them by a rotation which their newest signed."""
        kept = self._kept.get(lock_id)
        if kept is None or not kept.rotations:
            return configured
        known = self._issuers.get(lock_id)
        if known is None or known[:2] != (configured, kept.rotations):
            known = configured, kept.rotations, _rotated(configured, kept.rotations, lock_id)
            self._issuers[lock_id] = known
        return known[2]

    def gateway_key(self, lock_id: bytes, epoch: int) -> bytes | None:
        """K_gw of an epoch, where the cloud sent it."""
        kept = self._kept.get(lock_id)
        sealed = [k.sealed for k in kept.keys if k.epoch == epoch] if kept else []
        return self.unseal(sealed[0], key_context(lock_id, epoch)) if sealed else None

    def _up(self, kept: _Kept, results: tuple[OrderResult, ...]) -> LockUp:
        return LockUp(VERSION, kept.lock_id.hex(), tuple(o.id for o in kept.pending), results)

    async def _told(self, lock: str, text: str, up: LockUp) -> bool:
        try:
            data: dict[str, object] = msgspec.to_builtins(up)
            await self._put_event(UP, lock, text, data)
        except OutboxError as exc:
            self._complain(f"{lock}: what it was told is not journalled: {exc.message}")
            return False
        return True

    async def _write(self, kept: _Kept) -> bool:
        path = self._folder / f"{kept.lock_id.hex()}.json"
        try:
            await asyncio.to_thread(_written, path, msgspec.json.encode(kept))
        except OSError as exc:
            self._complain(f"{kept.lock}: its orders are not kept on disk: {exc.strerror}")
            return False
        return True

    def _complain(self, text: str) -> None:
        if text not in self._said:
            self._remember(text)
            _log.error("%s", text)

    def _refuse(self, text: str) -> None:
        self.counters["down_refused"] += 1
        if text not in self._said:
            self._remember(text)
            _log.warning("what the cloud told of a lock is refused: %s", text)
            self._say("lock.orders-refused", "", text, {})

    def _remember(self, text: str) -> None:
        if len(self._said) > 100:
            self._said.clear()
        self._said.add(text)


def _bare(order: LockOrder) -> LockOrder:
    """As it is kept: a TIME is bound to a nonce that is over long before."""
    return msgspec.structs.replace(order, order=b"", nonce=b"") if order.kind == "time" else order


def _rotated(configured: IssuerKeys, rotations: tuple[bytes, ...], lock_id: bytes) -> IssuerKeys:
    """Pure: each rotation counts that a key held then has signed; an older or foreign one changes nothing."""
    issuers = configured
    for raw in rotations:
        try:
            order = read_signed(ROTATE, raw, issuers)
            if isinstance(order, RotateOrder) and order.lock_id == lock_id:
                issuers = issuers.rotated(order.kid, order.key)
        except GrantRefusedError:
            continue
    return issuers


def _written(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path, data)
