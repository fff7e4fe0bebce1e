"""Commands to devices: kept before they are sent, sent again until their gateway has taken them, followed to their end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields

from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, select, update

from cloud.db import read, write
from cloud.orders.model import Order, heard, overdue
from cloud.orders.tables import orders
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, Command, Event
from tocsin.contract.orders import DEVICE_COMMAND, DEVICE_CONFIRM, Scalar, pack
from tocsin.contract.signing import sign
from tocsin.errors import CommandRefusal, CommandRefusedError, NotFoundError
from tocsin.sdk import Clock

MAX_OPEN = 200  # of one gateway
MAX_KEPT = 10_000  # the oldest are forgotten; the events in the store stay
_OPEN = ("sent", "accepted", "armed")
_FIELDS = tuple(f.name for f in fields(Order))

Changed = Callable[[dict[str, object]], None]


class OrderBook:
    """`changed` hears every order that moved, after its commit; `send` takes a signed command to its gateway."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        keys: Mapping[str, bytes],
        changed: Changed,
        send: Callable[[Command], None],
    ) -> None:
        self._engine, self._clock, self._keys = engine, clock, keys
        self._changed, self._send = changed, send
        self._lock = threading.Lock()

    def give(
        self,
        site: str,
        gateway: str,
        device: str,
        name: str,
        args: Mapping[str, Scalar],
        actor: str,
        expires_s: float,
    ) -> dict[str, object]:
        """Send a command; it is carried out within `expires_s` or never.

        Raises:
            CommandRefusedError: no key for the gateway, or too many of its commands are open.
        """
        now_ns = self._clock.now_ns()
        order = Order(
            ulid(now_ns), DEVICE_COMMAND, site, gateway, device, name, dict(args), actor,
            now_ns, now_ns + int(expires_s * 1e9), now_ns,
        )  # fmt: skip
        return self._give(order)

    def confirm(self, command: str, actor: str, expires_s: float) -> dict[str, object]:
        """Confirm one that waits for it; the confirmation is an order of its own.

        Raises:
            NotFoundError: there is no such order.
            CommandRefusedError: it waits for no confirmation.
        """
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            armed = self._get(c, command)
        if armed is None:
            raise NotFoundError(f"there is no command {command!r}")
        if armed.state != "armed" or (armed.confirm_until_ns or 0) <= now_ns:
            text = f"{armed.name} of {armed.device} waits for no confirmation ({armed.state})"
            raise CommandRefusedError(CommandRefusal.REFUSED, text)
        order = Order(
            ulid(now_ns), DEVICE_CONFIRM, armed.site, armed.gateway, armed.device, armed.name,
            {"code": armed.code}, actor, now_ns, now_ns + int(expires_s * 1e9), now_ns,
            confirms=armed.id,
        )  # fmt: skip
        return self._give(order)

    def _give(self, order: Order) -> dict[str, object]:
        key = self._keys.get(order.gateway)
        if not key:
            raise CommandRefusedError(
                CommandRefusal.REFUSED,
                f"the cloud has no command key for gateway {order.gateway!r}",
                hint="set command_key of this gateway in cloud.toml",
            )
        with self._lock, write(self._engine) as c:
            mine = orders.c.gateway == order.gateway
            waiting = c.scalar(
                select(func.count()).where(mine, orders.c.state.in_(_OPEN)).select_from(orders)
            )
            if (waiting or 0) >= MAX_OPEN:
                text = f"{waiting} commands for {order.gateway} are not finished"
                raise CommandRefusedError(CommandRefusal.REFUSED, text)
            c.execute(insert(orders).values(**_values(order)))
            oldest = c.scalar(select(orders.c.id).order_by(orders.c.id.desc()).offset(MAX_KEPT))
            if oldest is not None:
                c.execute(delete(orders).where(orders.c.id <= oldest))
        self._changed(told(order))
        self._send(sign(_command(order), key))
        return told(order)

    def on_event(self, event: Event, received_ns: int) -> None:
        """`command.accepted` and `command.result` move an order."""
        command = event.data.get("id")
        if not isinstance(command, str) or not event.kind.startswith("command."):
            return
        with self._lock, write(self._engine) as c:
            before = self._get(c, command)
            after = heard(before, event, received_ns) if before is not None else None
            if after is None:
                return
            self._save(c, after)
        self._changed(told(after))

    def expire(self) -> None:
        """Give up hope for those whose gateway should have spoken."""
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            late = [o for o in self._open(c) if overdue(o, now_ns) is not None]
        for order in late:
            with self._lock, write(self._engine) as c:
                now = self._get(c, order.id)
                after = overdue(now, now_ns) if now is not None else None
                if after is None:
                    continue
                self._save(c, after)
            self._changed(told(after))

    def resend(self, gateway: str | None = None) -> None:
        """Send what was not taken yet, to one gateway or all; they know a command they have seen."""
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            waiting = [o for o in self._open(c, gateway) if o.state == "sent"]
        for order in waiting:
            key = self._keys.get(order.gateway)
            if key and order.expires_ns > now_ns:
                self._send(sign(_command(order), key))

    def rows(self, *, site: str, device: str, limit: int) -> list[dict[str, object]]:
        """Orders, newest first; of one device where it is named."""
        query = select(orders).order_by(orders.c.id.desc()).limit(limit)
        if device:
            query = query.where(orders.c.site == site, orders.c.device == device)
        with read(self._engine) as c:
            return [told(_order(row)) for row in c.execute(query).mappings()]

    def row(self, command: str) -> dict[str, object]:
        """One order.

        Raises:
            NotFoundError: there is no such order.
        """
        with read(self._engine) as c:
            found = self._get(c, command)
        if found is None:
            raise NotFoundError(f"there is no command {command!r}")
        return told(found)

    @staticmethod
    def _get(c: Connection, command: str) -> Order | None:
        row = c.execute(select(orders).where(orders.c.id == command)).mappings().first()
        return _order(row) if row is not None else None

    @staticmethod
    def _open(c: Connection, gateway: str | None = None) -> list[Order]:
        query = select(orders).where(orders.c.state.in_(_OPEN)).order_by(orders.c.id)
        if gateway is not None:
            query = query.where(orders.c.gateway == gateway)
        return [_order(row) for row in c.execute(query).mappings()]

    @staticmethod
    def _save(c: Connection, order: Order) -> None:
        c.execute(update(orders).where(orders.c.id == order.id).values(**_values(order)))


def told(order: Order) -> dict[str, object]:
    """An order as the spine, the API and the feed tell it."""
    return _values(order) | {"open": order.is_open}


def _values(order: Order) -> dict[str, object]:
    values = asdict(order)
    return {**values, "args": dict(order.args)}


def _order(row: RowMapping) -> Order:
    return Order(**{name: row[name] for name in _FIELDS})


def _command(order: Order) -> Command:
    """Always the same bytes: a gateway knows it again."""
    args: Mapping[str, Scalar] = order.args
    if order.kind == DEVICE_COMMAND:
        args = pack(order.device, order.name, order.args)
    return Command(
        v=VERSION,
        id=order.id,
        site=order.site,
        gateway=order.gateway,
        kind=order.kind,
        actor=order.actor,
        issued_ns=order.issued_ns,
        expires_ns=order.expires_ns,
        args=dict(args),
    )
