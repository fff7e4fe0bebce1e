"""Dead letters: what could not be stored, with its reason and bytes, bounded in size."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    and_,
    case,
    cast,
    delete,
    func,
    insert,
    select,
    true,
    update,
)

from cloud.audit.model import Finding
from cloud.db import read, write
from cloud.ingest.decoded import Letter
from cloud.ingest.tables import dead_letters
from cloud.link import Received

MAX_PAYLOAD_BYTES = 1 << 20
MAX_DETAIL_CHARS = 500
MAX_PER_MESSAGE = 100  # one by one, and as many that each stand for several
ROW_BYTES = 500  # of a letter beside its payload, about


@dataclass(frozen=True, slots=True)
class Posting:
    """One letter and the message it is about."""

    letter: Letter
    topic: str
    site: str
    gateway: str
    payload: bytes
    received_ns: int

    @property
    def digest(self) -> str:
        """The same finding about the same bytes has the same digest, however often they come."""
        told = self.letter
        parts = (self.topic, told.reason, told.device, told.quantity, f"{told.lo} {told.hi}")
        return hashlib.sha256("\0".join(parts).encode() + b"\0" + self.payload).hexdigest()


def posting_of(letter: Letter, message: Received, site: str, gateway: str) -> Posting:
    """A letter about a message from the broker."""
    return Posting(letter, message.topic, site, gateway, message.payload, message.received_ns)


def folded(letters: Sequence[Letter]) -> tuple[list[Letter], int]:
    """The letters of one message as far as they are kept one by one, the others in a few that span theirs; how many not even so.

    Every number of a row that is not stored is in one of them.
    """
    kept, rest = list(letters[:MAX_PER_MESSAGE]), letters[MAX_PER_MESSAGE:]
    alike: defaultdict[tuple[str, ...], list[Letter]] = defaultdict(list)
    for letter in rest:
        about = ("", "") if not letter.quantity else (letter.device, letter.quantity)
        alike[letter.reason, letter.stream, *about].append(letter)
    whole_rows_first = sorted(alike.values(), key=lambda some: bool(some[0].quantity))
    for some in whole_rows_first[:MAX_PER_MESSAGE]:
        lo, hi = min(one.lo for one in some), max(one.hi for one in some)
        device = some[0].device if {one.device for one in some} == {some[0].device} else ""
        detail = some[0].detail if len(some) == 1 else f"{len(some)} of them: {some[0].detail}"
        kept.append(replace(some[0], detail=detail, lo=lo, hi=hi, device=device))
    return kept, sum(map(len, whole_rows_first[MAX_PER_MESSAGE:]))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters are meant; "" and 0 choose all."""

    reason: str = ""
    gateway: str = ""
    since_ns: int = 0

    @property
    def where(self) -> ColumnElement[bool]:
        """As a condition."""
        c = dead_letters.c
        wanted = [c.last_ns >= self.since_ns] if self.since_ns else []
        wanted += [c.reason == self.reason] if self.reason else []
        wanted += [c.gateway == self.gateway] if self.gateway else []
        return and_(true(), *wanted)


EVERY = Chosen()


class DeadLetters:
    """The oldest go first when the limit is reached, and are counted."""

    def __init__(self, engine: Engine, max_bytes: int) -> None:
        self._engine, self._max_bytes = engine, max_bytes
        self.dropped = 0
        self._lock = threading.Lock()  # `add` from the ingest thread, `remove` from others too
        with read(engine) as connection:
            self._bytes = _size(connection)

    def add(self, postings: Sequence[Posting]) -> list[int]:
        """Keep them; a finding already kept is only counted again. How often each has come.

        Raises:
            StoreUnavailableError: none was kept; try again later.
        """
        times: list[int] = []
        with self._lock:
            size, dropped = self._bytes, 0
            with write(self._engine) as connection:
                for posting in postings:
                    n, added = self._add(connection, posting)
                    times.append(n)
                    size += added
                while size > self._max_bytes and (freed := self._drop_oldest(connection)):
                    size -= freed
                    dropped += 1
            self._bytes = size
            self.dropped += dropped
        return times

    def remove(self, ids: Sequence[int]) -> int:
        """Forget letters; how many of them there were.

        Raises:
            StoreUnavailableError: none was removed; try again later.
        """
        mine = dead_letters.c.id.in_(ids)
        with self._lock:
            with write(self._engine) as connection:
                freed = _size(connection, mine)
                gone = connection.execute(delete(dead_letters).where(mine)).rowcount
            self._bytes -= freed
        return int(gone)

    def list(self, limit: int, chosen: Chosen = EVERY) -> list[dict[str, object]]:
        """The newest first, without their bytes."""
        columns = [c for c in dead_letters.c if c.name not in ("payload", "digest")]
        query = select(*columns).where(chosen.where).order_by(dead_letters.c.id.desc()).limit(limit)
        with read(self._engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def ids(self, chosen: Chosen = EVERY) -> Sequence[int]:
        """Of every letter, the oldest first."""
        query = select(dead_letters.c.id).where(chosen.where).order_by(dead_letters.c.id)
        with read(self._engine) as connection:
            return list(connection.scalars(query))

    def counts(self, chosen: Chosen = EVERY) -> Sequence[dict[str, object]]:
        """How many letters there are by gateway and reason, and how often what they tell came."""
        c = dead_letters.c
        kinds = (c.gateway, c.reason)
        query = (
            select(
                *kinds,
                func.count().label("letters"),
                cast(func.sum(c.n), BigInteger).label("times"),
                func.max(c.last_ns).label("last_ns"),
            )
            .where(chosen.where)
            .group_by(*kinds)
            .order_by(func.count().desc(), *kinds)
        )
        with read(self._engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def get(self, letter_id: int) -> dict[str, Any] | None:
        """One letter with its bytes."""
        query = select(dead_letters).where(dead_letters.c.id == letter_id)
        with read(self._engine) as connection:
            row: RowMapping | None = connection.execute(query).mappings().first()
        return dict(row) if row is not None else None

    def of_numbers(self, gateway: str) -> Mapping[str, Iterable[Finding]]:
        """By stream, the letters that cost whole rows of a gateway."""
        c = dead_letters.c
        whole = (c.gateway == gateway) & (c.quantity == "") & (c.hi > c.lo)
        found: defaultdict[str, deque[Finding]] = defaultdict(deque)
        with read(self._engine) as connection:
            for stream, *told in connection.execute(
                select(c.stream, c.id, c.lo, c.hi, c.reason).where(whole)
            ):
                found[stream].append(Finding(*told))
        return found

    def requeued(self, letter_id: int, now_ns: int) -> None:
        """Note that a letter was given to the ingester again."""
        with write(self._engine) as connection:
            connection.execute(
                update(dead_letters)
                .where(dead_letters.c.id == letter_id)
                .values(requeued_ns=now_ns)
            )

    def _add(self, connection: Connection, posting: Posting) -> tuple[int, int]:
        """(how often it has come, bytes added)."""
        digest = posting.digest
        again = connection.scalar(
            update(dead_letters)
            .where(dead_letters.c.digest == digest)
            .values(
                n=dead_letters.c.n + 1,
                last_ns=case(
                    (dead_letters.c.last_ns > posting.received_ns, dead_letters.c.last_ns),
                    else_=posting.received_ns,
                ),
                detail=posting.letter.detail[:MAX_DETAIL_CHARS],
            )
            .returning(dead_letters.c.n)
        )
        if again is not None:
            return int(again), 0
        fields = asdict(posting.letter)
        fields["reason"] = posting.letter.reason.value
        fields["detail"] = posting.letter.detail[:MAX_DETAIL_CHARS]
        payload = posting.payload[:MAX_PAYLOAD_BYTES]
        connection.execute(
            insert(dead_letters).values(
                **fields,
                digest=digest,
                first_ns=posting.received_ns,
                last_ns=posting.received_ns,
                n=1,
                topic=posting.topic[:1024],
                site=posting.site,
                gateway=posting.gateway,
                payload=payload,
                payload_bytes=len(posting.payload),
            )
        )
        return 1, len(payload) + ROW_BYTES

    def _drop_oldest(self, connection: Connection) -> int:
        """Bytes freed; 0 when there is none."""
        row = connection.execute(
            select(dead_letters.c.id, func.length(dead_letters.c.payload))
            .order_by(dead_letters.c.id)
            .limit(1)
        ).first()
        if row is None:
            return 0
        connection.execute(delete(dead_letters).where(dead_letters.c.id == row[0]))
        return int(row[1]) + ROW_BYTES


def _size(connection: Connection, which: ColumnElement[bool] = EVERY.where) -> int:
    total, n = connection.execute(
        select(func.coalesce(func.sum(func.length(dead_letters.c.payload)), 0), func.count()).where(
            which
        )
    ).one()
    return int(total) + int(n) * ROW_BYTES
