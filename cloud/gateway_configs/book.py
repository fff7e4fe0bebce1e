"""Configurations for gateways: kept before they are sent, sent again until their gateway has taken them, followed to their end."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields

from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, select, update

from cloud.db import read, write
from cloud.gateway_configs.model import OPEN, Sent, heard, overdue
from cloud.gateway_configs.tables import configs
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, Command, Event
from tocsin.contract.remote import APPLY, MAX_TOML_BYTES, WITHDRAW
from tocsin.contract.signing import sign
from tocsin.errors import BadRequestError, CommandRefusal, CommandRefusedError, NotFoundError
from tocsin.sdk import Clock

MAX_KEPT = 100  # of one gateway; the events in the store stay
_FIELDS = tuple(f.name for f in fields(Sent))


class ConfigBook:
    """`sites` and `keys` by gateway; `send` takes a signed command to its gateway."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        sites: Mapping[str, str],
        keys: Mapping[str, bytes],
        send: Callable[[Command], None],
    ) -> None:
        self._engine, self._clock = engine, clock
        self._sites, self._keys, self._send = sites, keys, send
        self._lock = threading.Lock()

    def push(
        self,
        gateway: str,
        toml: str,
        actor: str,
        *,
        version: int | None = None,
        expires_s: float = 86_400.0,
    ) -> dict[str, object]:
        """Send a gateway a whole gateway.toml; an empty one puts its own file in force again.

        It replaces one that the gateway has not taken yet. The gateway takes it within `expires_s` or never.

        Raises:
            NotFoundError: no such gateway.
            BadRequestError: no TOML, or too large.
            CommandRefusedError: no key for the gateway, or a version that is not higher than the last one.
        """
        site, key, now_ns = self._sites.get(gateway), self._keys.get(gateway), self._clock.now_ns()
        if site is None:
            raise NotFoundError(f"there is no gateway {gateway!r}")
        if not key:
            raise CommandRefusedError(
                CommandRefusal.REFUSED,
                f"the cloud has no command key for gateway {gateway!r}",
                hint="set command_key of this gateway in cloud.toml",
            )
        _check(toml)
        with self._lock, write(self._engine) as c:
            mine = configs.c.gateway == gateway
            last = c.scalar(select(func.max(configs.c.version)).where(mine)) or 0
            if version is not None and version <= last:
                text = f"version {last} of {gateway} was sent already"
                raise CommandRefusedError(CommandRefusal.OLD_VERSION, text)
            sent = Sent(
                ulid(now_ns), APPLY if toml else WITHDRAW, site, gateway, version or last + 1,
                toml, actor, now_ns, now_ns + int(expires_s * 1e9), now_ns,
            )  # fmt: skip
            waiting = (mine, configs.c.state == "sent")
            c.execute(update(configs).where(*waiting).values(state="replaced", changed_ns=now_ns))
            c.execute(insert(configs).values(**asdict(sent)))
            newest = select(configs.c.id).where(mine).order_by(configs.c.id.desc())
            if (oldest := c.scalar(newest.offset(MAX_KEPT))) is not None:
                c.execute(delete(configs).where(mine, configs.c.id <= oldest))
        self._send(sign(_command(sent), key))
        return told(sent)

    def on_event(self, event: Event, received_ns: int) -> None:
        """What a gateway tells of a version."""
        command, version = event.data.get("id"), event.data.get("version")
        if not isinstance(command, str) or not event.kind.startswith(("config.", "command.")):
            return
        where = [configs.c.id == command]
        if not command and isinstance(version, int):  # one that was in force again after another
            where = [configs.c.gateway == event.gateway, configs.c.version == version]
        with self._lock, write(self._engine) as c:
            before = _get(c, *where)
            after = heard(before, event, received_ns) if before is not None else None
            if after is not None:
                _save(c, after)

    def expire(self) -> None:
        """Give up those that nobody can take any more."""
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            sent_ones = _all(c, configs.c.state == "sent")
        if not any(overdue(sent, now_ns) for sent in sent_ones):
            return
        with self._lock, write(self._engine) as c:
            for sent in _all(c, configs.c.state == "sent"):
                after = overdue(sent, now_ns)
                if after is not None:
                    _save(c, after)

    def resend(self, gateway: str) -> None:
        """Send a gateway what it has not taken yet; it knows what it has seen."""
        now_ns, key = self._clock.now_ns(), self._keys.get(gateway)
        with read(self._engine) as c:
            waiting = _all(c, configs.c.gateway == gateway, configs.c.state == "sent")
        for sent in waiting:
            if key and sent.expires_ns > now_ns:
                self._send(sign(_command(sent), key))

    def rows(self, gateway: str, limit: int) -> list[dict[str, object]]:
        """The versions of a gateway, newest first, without their text.

        Raises:
            NotFoundError: no such gateway.
        """
        if gateway not in self._sites:
            raise NotFoundError(f"there is no gateway {gateway!r}")
        with read(self._engine) as c:
            return [told(sent) for sent in _all(c, configs.c.gateway == gateway)[:limit]]

    def row(self, gateway: str, version: int) -> dict[str, object]:
        """One version with its text.

        Raises:
            NotFoundError: no such version.
        """
        with read(self._engine) as c:
            found = _get(c, configs.c.gateway == gateway, configs.c.version == version)
        if found is None:
            raise NotFoundError(f"gateway {gateway!r} was sent no version {version}")
        return told(found) | {"toml": found.toml}


def told(sent: Sent) -> dict[str, object]:
    """A version as the spine and the API tell it."""
    values = asdict(sent)
    del values["toml"]
    return values | {"open": sent.state in OPEN}


def _check(toml: str) -> None:
    if len(toml.encode()) > MAX_TOML_BYTES:
        raise BadRequestError(f"a configuration has at most {MAX_TOML_BYTES} bytes")
    try:
        tomllib.loads(toml)
    except tomllib.TOMLDecodeError as exc:
        raise BadRequestError(f"not TOML: {exc}", hint="tocsin check -c FILE") from exc


def _get(c: Connection, *where: object) -> Sent | None:
    found = _all(c, *where)
    return found[0] if found else None


def _all(c: Connection, *where: object) -> list[Sent]:
    query = select(configs).where(*where).order_by(configs.c.id.desc())  # type: ignore[arg-type]
    return [_sent(row) for row in c.execute(query).mappings()]


def _save(c: Connection, sent: Sent) -> None:
    c.execute(update(configs).where(configs.c.id == sent.id).values(**asdict(sent)))


def _sent(row: RowMapping) -> Sent:
    return Sent(**{name: row[name] for name in _FIELDS})


def _command(sent: Sent) -> Command:
    """Always the same bytes: a gateway knows it again."""
    args: dict[str, str | int | float | bool] = {"version": sent.version}
    return Command(
        v=VERSION,
        id=sent.id,
        site=sent.site,
        gateway=sent.gateway,
        kind=sent.kind,
        actor=sent.actor,
        issued_ns=sent.issued_ns,
        expires_ns=sent.expires_ns,
        args=args | {"toml": sent.toml} if sent.toml else args,
    )
