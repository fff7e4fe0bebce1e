"""Models for gateways: kept before they are sent, sent again until their gateway has taken them, followed to their end."""

from __future__ import annotations

import hashlib
import threading
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select, update

from cloud.db import read, write
from cloud.models.model import Sent, heard, overdue
from cloud.models.tables import model_files, models
from tocsin.contract import topics
from tocsin.contract.ids import ulid
from tocsin.contract.messages import Event
from tocsin.contract.rollout import (
    DOWN,
    DOWN_PART,
    MAX_FILES,
    MAX_MODEL_BYTES,
    MAX_TOML_BYTES,
    VERSION,
    ModelFile,
    ModelOffer,
    encode_offer,
    parts,
)
from tocsin.errors import BadRequestError, CommandRefusal, CommandRefusedError, NotFoundError
from tocsin.sdk import Clock

MAX_KEPT = 20  # of one gateway; the events in the store stay
AGAIN_S = 300.0  # parts may have been lost on the way
_FIELDS = tuple(f.name for f in fields(Sent))


class ModelBook:
    """`sites` and `keys` by gateway; `publish` hands a message to the broker and says whether it could."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        sites: Mapping[str, str],
        keys: Mapping[str, bytes],
        publish: Callable[[str, bytes], bool],
    ) -> None:
        self._engine, self._clock = engine, clock
        self._sites, self._keys, self._publish = sites, keys, publish
        self._lock = threading.Lock()
        self._sent_ns: dict[str, int] = {}  # by id, on the monotonic clock

    def push(
        self,
        gateway: str,
        toml: str,
        files: Mapping[str, bytes],
        actor: str,
        *,
        expires_s: float = 86_400.0,
    ) -> dict[str, object]:
        """Send a gateway a model: its model.toml, and the files that it names, by name.

        It replaces one of the same name that the gateway has not taken yet.

        Raises:
            NotFoundError: no such gateway.
            BadRequestError: no model.toml, a file of it is missing, too large or another one.
            CommandRefusedError: no key for the gateway.
        """
        site, now_ns = self._sites.get(gateway), self._clock.now_ns()
        if site is None:
            raise NotFoundError(f"there is no gateway {gateway!r}")
        if not self._keys.get(gateway):
            raise CommandRefusedError(
                CommandRefusal.REFUSED,
                f"the cloud has no command key for gateway {gateway!r}",
                hint="set command_key of this gateway in cloud.toml",
            )
        name, version, told_files = _checked(toml, files)
        sent = Sent(
            ulid(now_ns), site, gateway, name, version, toml,
            [msgspec.to_builtins(f) for f in told_files], actor, now_ns, now_ns + int(expires_s * 1e9), now_ns,
        )  # fmt: skip
        with self._lock, write(self._engine) as c:
            mine = models.c.gateway == gateway
            waiting = (mine, models.c.name == name, models.c.state == "sent")
            c.execute(update(models).where(*waiting).values(state="replaced", changed_ns=now_ns))
            for file in told_files:
                known = c.scalar(
                    select(model_files.c.sha256).where(model_files.c.sha256 == file.sha256)
                )
                if known is None:
                    c.execute(insert(model_files).values(sha256=file.sha256, data=files[file.file]))
            c.execute(insert(models).values(**asdict(sent)))
            newest = select(models.c.id).where(mine).order_by(models.c.id.desc())
            if (oldest := c.scalar(newest.offset(MAX_KEPT))) is not None:
                c.execute(delete(models).where(mine, models.c.id <= oldest))
            _drop_unused(c)
        self._go(sent)
        return told(sent)

    def on_event(self, event: Event, received_ns: int) -> None:
        """What a gateway tells of a model."""
        offer = event.data.get("id")
        if not isinstance(offer, str) or not event.kind.startswith("model."):
            return
        with self._lock, write(self._engine) as c:
            before = next(iter(_all(c, models.c.id == offer)), None)
            after = heard(before, event, received_ns) if before is not None else None
            if after is not None:
                _save(c, after)
                self._sent_ns.pop(offer, None)

    def expire(self) -> None:
        """Give up those that nobody can take any more, and send the others again now and then."""
        now_ns, mono_ns = self._clock.now_ns(), self._clock.mono_ns()
        with read(self._engine) as c:
            waiting = _all(c, models.c.state == "sent")
        if any(overdue(sent, now_ns) is not None for sent in waiting):
            waiting = self._give_up(now_ns)
        for sent in waiting:
            if mono_ns - self._sent_ns.get(sent.id, mono_ns) >= AGAIN_S * 1e9:
                self._go(sent)

    def _give_up(self, now_ns: int) -> list[Sent]:
        """Close the overdue ones; the others."""
        waiting = []
        with self._lock, write(self._engine) as c:
            for sent in _all(c, models.c.state == "sent"):
                after = overdue(sent, now_ns)
                if after is None:
                    waiting.append(sent)
                else:
                    _save(c, after)
                    self._sent_ns.pop(sent.id, None)
        return waiting

    def resend(self, gateway: str) -> None:
        """Send a gateway what it has not taken yet; it knows what it has seen."""
        with read(self._engine) as c:
            waiting = _all(c, models.c.gateway == gateway, models.c.state == "sent")
        for sent in waiting:
            if sent.expires_ns > self._clock.now_ns():
                self._go(sent)

    def rows(self, gateway: str, limit: int) -> list[dict[str, object]]:
        """The models sent to a gateway, newest first.

        Raises:
            NotFoundError: no such gateway.
        """
        if gateway not in self._sites:
            raise NotFoundError(f"there is no gateway {gateway!r}")
        with read(self._engine) as c:
            return [told(sent) for sent in _all(c, models.c.gateway == gateway)[:limit]]

    def _go(self, sent: Sent) -> None:
        key = self._keys.get(sent.gateway)
        if not key:
            return
        self._sent_ns[sent.id] = self._clock.mono_ns()
        topic = topics.down(sent.site, sent.gateway, DOWN)
        if not self._publish(topic, encode_offer(_offer(sent), key)):
            return
        topic = topics.down(sent.site, sent.gateway, DOWN_PART)
        for file in _offer(sent).files:
            with read(self._engine) as c:
                data = c.scalar(
                    select(model_files.c.data).where(model_files.c.sha256 == file.sha256)
                )
            for part in parts(data or b""):
                self._publish(topic, part)


def told(sent: Sent) -> dict[str, object]:
    """A model as the spine and the API tell it."""
    values = asdict(sent)
    del values["toml"]
    return values | {"open": sent.state == "sent"}


def _checked(toml: str, files: Mapping[str, bytes]) -> tuple[str, str, list[ModelFile]]:
    """(name, version, files). The gateway judges the rest."""
    if len(toml.encode()) > MAX_TOML_BYTES:
        raise BadRequestError(f"a model.toml has at most {MAX_TOML_BYTES} bytes")
    try:
        raw = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as exc:
        raise BadRequestError(f"not TOML: {exc}", hint="tocsin check -c model.toml") from exc
    named = [(raw.get("file"), raw.get("sha256"))]
    if isinstance(small := raw.get("int8"), dict):
        named.append((small.get("file"), small.get("sha256")))
    found = []
    for file, wanted in named:
        data = files.get(file) if isinstance(file, str) else None
        if not data:
            raise BadRequestError(f"the file {file!r} that model.toml names is not there")
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != wanted:
            raise BadRequestError(
                f"{file} is not the file that model.toml names: its SHA-256 is {sha256}",
                hint="tocsin vision detect with this model says more",
            )
        found.append({"file": file, "sha256": sha256, "size": len(data)})
    if len(found) > MAX_FILES or sum(len(d) for d in files.values()) > MAX_MODEL_BYTES:
        raise BadRequestError(f"the files of a model have at most {MAX_MODEL_BYTES} bytes together")
    try:
        told_files = msgspec.convert(found, list[ModelFile])
        head = msgspec.convert(raw, _Head)
    except msgspec.ValidationError as exc:
        raise BadRequestError(f"model.toml: {exc}", hint="tocsin check -c model.toml") from exc
    return head.name, head.version, told_files


class _Head(msgspec.Struct):
    name: str
    version: str


def _drop_unused(c: Connection) -> None:
    used = {f["sha256"] for row in c.execute(select(models.c.files)) for f in row[0]}
    for (sha256,) in c.execute(select(model_files.c.sha256)).all():
        if sha256 not in used:
            c.execute(delete(model_files).where(model_files.c.sha256 == sha256))


def _all(c: Connection, *where: object) -> list[Sent]:
    query = select(models).where(*where).order_by(models.c.id.desc())  # type: ignore[arg-type]
    return [_sent(row) for row in c.execute(query).mappings()]


def _save(c: Connection, sent: Sent) -> None:
    c.execute(update(models).where(models.c.id == sent.id).values(**asdict(sent)))


def _sent(row: RowMapping) -> Sent:
    return Sent(**{name: row[name] for name in _FIELDS})


def _offer(sent: Sent) -> ModelOffer:
    """Always the same bytes: a gateway knows it again."""
    return ModelOffer(
        v=VERSION,
        site=sent.site,
        gateway=sent.gateway,
        id=sent.id,
        actor=sent.actor,
        issued_ns=sent.issued_ns,
        expires_ns=sent.expires_ns,
        name=sent.name,
        version=sent.version,
        toml=sent.toml,
        files=msgspec.convert(sent.files, list[ModelFile]),
    )
