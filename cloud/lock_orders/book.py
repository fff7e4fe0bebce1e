"""The spine's orders to locks: made as a lock needs them, sent until its gateway keeps them, ended by what the lock answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

import msgspec
from sqlalchemy import Connection, Engine

from cloud.db import read, write
from cloud.lock_orders import rows
from cloud.lock_orders.making import Maker, as_sent, by_urgency
from cloud.lock_orders.model import REPLACED, TAKEN, TIME, Plan, plan, taken
from cloud.lock_orders.rows import Standing
from tocsin.contract import topics
from tocsin.contract.messages import Event
from tocsin.grants.lock_messages import (
    DOWN,
    NONCE,
    UP,
    VERSION,
    LockDown,
    LockNonce,
    LockUp,
    sign_lock_down,
)
from tocsin.sdk import Clock

RESEND_NS = 5 * 10**9  # to a gateway that has not said that it keeps everything
BY = "cloud"
_log = logging.getLogger("cloud.lock_orders")


class LockOrderBook:
    """`gateway_of` names the gateway that has a lock, by site and device; "" while none has told of it. From any thread."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        maker: Maker,
        *,
        keys: Mapping[str, bytes],
        gateway_of: Callable[[str, str], str],
        is_heard: Callable[[str, int], bool],
        send: Callable[[str, bytes], object],
    ) -> None:
        self._engine, self._clock, self._maker, self._keys = engine, clock, maker, keys
        self._gateway_of, self._is_heard, self._send = gateway_of, is_heard, send
        self._lock = threading.Lock()
        self._sent: dict[str, tuple[str, tuple[str, ...], int]] = {}  # gateway, orders, when

    def look(self) -> None:
        """Once a second: make what locks need, and send what their gateways do not keep."""
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            found = rows.standings(c, now_ns)
        if any(not _plan(one, now_ns).is_empty for one in found):
            with self._lock, write(self._engine) as c:
                found = rows.standings(c, now_ns)
                for one in found:
                    self._make(c, one, now_ns)
                found = rows.standings(c, now_ns)
        for one in found:
            if any(o.is_open for o in one.orders):
                self._tell(one, now_ns)

    def _make(self, c: Connection, one: Standing, now_ns: int) -> None:
        needs = _plan(one, now_ns)
        for order in needs.replaced:
            rows.end(c, order, REPLACED, now_ns)
        made = [self._maker.revoke(c, one, named, now_ns, BY) for named in needs.revokes]
        made += [self._maker.rotate(c, one.lock, kid, now_ns, BY) for kid in needs.rotates]
        if needs.time:
            made.append(self._maker.time(one.lock, now_ns, BY))
        for new in made:
            rows.add(c, new)
        if made:
            rows.prune(c, one.lock.lock)

    def _tell(self, one: Standing, now_ns: int, *, again: bool = False) -> None:
        """What is news at once; again what the gateway has not said it keeps, as long as it is heard."""
        gateway = self._gateway_of(one.lock.site, one.lock.device)
        if not gateway or gateway not in self._keys:
            return
        opened = by_urgency(one.orders)
        ids = tuple(o.id for o in opened)
        before, sent_ids, at_ns = self._sent.get(one.lock.lock, ("", (), 0))
        is_news = (before, sent_ids) != (gateway, ids)
        is_kept = all(o.kept_ns is not None and o.gateway == gateway for o in opened)
        late = not at_ns <= now_ns < at_ns + RESEND_NS
        if not (again or is_news or (late and not is_kept and self._is_heard(gateway, now_ns))):
            return
        with self._lock, write(self._engine) as c:
            rows.sent(c, ids, gateway)
        self._publish(one, gateway, {})
        self._sent[one.lock.lock] = gateway, ids, now_ns

    def _publish(
        self, one: Standing, gateway: str, times: Mapping[str, tuple[bytes, bytes]]
    ) -> None:
        told = []
        for order in by_urgency(one.orders):
            sent = as_sent(one.lock, order)
            if order.id in times:
                body, nonce = times[order.id]
                sent = msgspec.structs.replace(sent, order=body, nonce=nonce)
            told.append(sent)
        with read(self._engine) as c:
            keys = self._maker.gateway_keys(c, one, gateway)
        down = LockDown(VERSION, gateway, one.lock.device, one.lock.id, tuple(told), keys)
        topic = topics.down(one.lock.site, gateway, DOWN)
        self._send(topic, msgspec.json.encode(sign_lock_down(down, self._keys[gateway])))

    def resend(self, gateway: str) -> None:
        """A gateway speaks again: tell it every order of its locks; its disk may be a new one."""
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            found = rows.standings(c, now_ns)
        for one in found:
            mine = self._gateway_of(one.lock.site, one.lock.device) == gateway
            if mine and any(o.is_open for o in one.orders):
                self._tell(one, now_ns, again=True)

    def on_event(self, event: Event, received_ns: int) -> None:
        """What a gateway keeps, what a lock answered, and a nonce that waits for the time.

        Raises:
            StoreUnavailableError: it is not kept; the message will come again.
        """
        kind = {UP: LockUp, NONCE: LockNonce}.get(event.kind)
        if kind is None:
            return
        try:
            told = msgspec.convert(event.data, kind)
        except msgspec.ValidationError as exc:
            _log.warning(
                "gateway %s: what it tells of a lock cannot be read: %s", event.gateway, exc
            )
            return
        if isinstance(told, LockUp):
            self._answered(event, told)
        elif isinstance(told, LockNonce):
            self._asked(event, told)

    def _answered(self, event: Event, up: LockUp) -> None:
        now_ns = self._clock.now_ns()
        with self._lock, write(self._engine) as c:
            rows.kept(c, up.kept, event.gateway, now_ns)
            for result in up.results:
                order = rows.get(c, result.id)
                if order is None or (order.lock, order.gateway) != (up.lock_id, event.gateway):
                    continue  # another gateway's, or forgotten
                if order.outcome in (TAKEN, result.outcome):
                    continue
                rows.end(
                    c, order.id, result.outcome, now_ns, reason=result.reason[:32],
                    seq=result.event_seq,
                )  # fmt: skip
                if result.outcome == TAKEN:
                    holds = rows.held_by(c, order.lock)
                    rows.save_held(c, order.lock, taken(holds, order, now_ns))
                else:
                    text = "lock %s refuses %s: %s"
                    _log.error(text, event.device, order.kind, result.reason)

    def _asked(self, event: Event, asked: LockNonce) -> None:
        """Signed now: the gateway waits a few seconds, and the lock takes no other nonce."""
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            found = [s for s in rows.standings(c, now_ns) if s.lock.lock == asked.lock_id]
            if not found or event.gateway not in self._keys:
                return
            one = found[0]
            order = next((o for o in one.orders if o.id == asked.id and o.is_open), None)
            try:
                nonce = bytes.fromhex(asked.nonce)
            except ValueError:
                nonce = b""
            if (
                order is None
                or (order.kind, order.gateway) != (TIME, event.gateway)
                or len(nonce) != 16
            ):
                return
            body = self._maker.time_over(c, one, nonce, now_ns)
        self._publish(one, event.gateway, {order.id: (body, nonce)})


def _plan(one: Standing, now_ns: int) -> Plan:
    return plan(one.wanted, one.holds, one.orders, now_ns)
