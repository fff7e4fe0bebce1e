"""The audit's tables: read at the start and for an answer, written now and then by the spine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, and_, delete, insert, select

from cloud.audit.marks import COARSE_NS, Mark, joined
from cloud.audit.model import Given, Reason
from cloud.audit.report import Unnumbered
from cloud.audit.tables import audit_given_up, audit_marks, audit_streams
from cloud.db import read, write
from tocsin.contract.gaps import SALVAGED, Gap

DAY_NS = 24 * COARSE_NS
FINE_FOR_NS = 2 * DAY_NS  # marks as they were made
HOURS_FOR_NS = 32 * DAY_NS  # then about one an hour, then one a day
UNNUMBERED = "unnumbered"  # in `reason`; `stream` and `lo` are of the event that told it, so that it counts once

Key = tuple[str, str]  # gateway, stream


@dataclass(slots=True)
class StreamTold:
    """What a gateway said of one stream, `told_ns` the last time that it took numbers. `end`: the highest ever told."""

    cls: str
    first_kept: int
    committed: int
    next_seq: int
    end: int
    held: bool
    volatile: bool
    salvaged: bool
    told_ns: int
    live: bool = True
    power_cut: bool = False


class AuditKeeper:
    """One state database. Every method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def streams(self) -> dict[Key, StreamTold]:
        """Every stream that was ever told of."""
        c = audit_streams.c
        columns = (c.cls, c.first_kept, c.committed, c.next_seq, c.end, c.held, c.volatile)
        query = select(c.gateway, c.stream, *columns, c.salvaged, c.told_ns, c.live, c.power_cut)
        with read(self._engine) as connection:
            return {(r[0], r[1]): StreamTold(*r[2:]) for r in connection.execute(query)}

    def save(self, streams: Mapping[Key, StreamTold], marks: Mapping[Key, Iterable[Mark]]) -> None:
        """Write these anew.

        Raises:
            StoreUnavailableError: nothing was written; try again later.
        """
        told = [
            {"gateway": g, "stream": s, **{name: getattr(t, name) for name in t.__slots__}}
            for (g, s), t in streams.items()
        ]
        rows = [_mark_row(key, mark) for key, found in marks.items() for mark in found]
        with write(self._engine) as connection:
            for table, values, key in (
                (audit_streams, told, ("gateway", "stream")),
                (audit_marks, rows, ("gateway", "stream", "lo")),
            ):
                for row in values:
                    same = and_(*(table.c[name] == row[name] for name in key))
                    connection.execute(delete(table).where(same))
                if values:
                    connection.execute(insert(table), values)

    def add_given_up(
        self, gateway: str, event_key: tuple[str, int], gaps: Sequence[Gap], kind: str
    ) -> None:
        """What an event (its stream and number) says was given up. Saying it twice changes nothing.

        Raises:
            StoreUnavailableError: nothing was written; try again later.
        """
        reason = Reason.DAMAGED if kind == SALVAGED else Reason.EVICTED
        with write(self._engine) as connection:
            for gap in gaps:
                if gap.stream and gap.lo < gap.hi:
                    _merge(connection, gateway, reason, gap)
            never = [gap for gap in gaps if not gap.stream]
            if never:
                _put_unnumbered(connection, gateway, event_key, never)

    def given_up(self, gateway: str) -> tuple[dict[str, list[Given]], list[Unnumbered]]:
        """(by stream, rows that never had a number)."""
        by_stream: dict[str, list[Given]] = defaultdict(list)
        never: list[Unnumbered] = []
        c = audit_given_up.c
        query = select(c.stream, c.reason, c.lo, c.hi, c.rows, c.first_ns, c.last_ns)
        with read(self._engine) as connection:
            found = connection.execute(query.where(c.gateway == gateway).order_by(c.lo)).all()
        for stream, reason, lo, hi, rows, first, last in found:
            if reason == UNNUMBERED:
                never.append(Unnumbered(rows, first, last))
            else:
                by_stream[stream].append(Given(lo, hi, Reason(reason), first, last))
        return by_stream, never

    def marks(self, gateway: str) -> dict[str, list[Mark]]:
        """By stream and number."""
        c = audit_marks.c
        by_stream: dict[str, list[Mark]] = defaultdict(list)
        query = select(c.stream, c.lo, c.hi, c.first_ns, c.last_ns)
        with read(self._engine) as connection:
            for stream, *mark in connection.execute(
                query.where(c.gateway == gateway).order_by(c.lo)
            ):
                by_stream[stream].append(Mark(*mark))
        return by_stream

    def join_old(self, now_ns: int, growing: Mapping[Key, Iterable[int]]) -> None:
        """Fewer marks of what is long past; those that begin at `growing` stay.

        Raises:
            StoreUnavailableError: not all was joined; try again later.
        """
        c = audit_marks.c
        with read(self._engine) as connection:
            keys = connection.execute(select(c.gateway, c.stream).distinct()).all()
        for gateway, stream in keys:
            self._join(gateway, stream, set(growing.get((gateway, stream), ())), now_ns)

    def _join(self, gateway: str, stream: str, growing: set[int], now_ns: int) -> None:
        c = audit_marks.c
        mine = and_(c.gateway == gateway, c.stream == stream, c.last_ns < now_ns - FINE_FOR_NS)
        query = select(c.lo, c.hi, c.first_ns, c.last_ns).where(mine).order_by(c.lo)
        with read(self._engine) as connection:
            old = [Mark(*row) for row in connection.execute(query) if row[0] not in growing]
        ancient = [m for m in old if m.last_ns < now_ns - HOURS_FOR_NS]
        rest = [m for m in old if m.last_ns >= now_ns - HOURS_FOR_NS]
        fewer = [*joined(ancient, DAY_NS), *joined(rest, COARSE_NS)]
        before, after = set(old), set(fewer)
        if before == after:
            return
        with write(self._engine) as connection:
            for mark in before - after:
                same = and_(c.gateway == gateway, c.stream == stream, c.lo == mark.lo)
                connection.execute(delete(audit_marks).where(same))
            connection.execute(
                insert(audit_marks), [_mark_row((gateway, stream), m) for m in after - before]
            )


def _mark_row(key: Key, mark: Mark) -> dict[str, object]:
    return {
        "gateway": key[0],
        "stream": key[1],
        "lo": mark.lo,
        "hi": mark.hi,
        "first_ns": mark.first_ns,
        "last_ns": mark.last_ns,
    }


def _merge(connection: Connection, gateway: str, reason: Reason, gap: Gap) -> None:
    """Ranges that touch are one row, so that the table grows with gaps and not with what is told of them."""
    c = audit_given_up.c
    touching = and_(
        c.gateway == gateway,
        c.stream == gap.stream,
        c.reason == reason.value,
        c.lo <= gap.hi,
        c.hi >= gap.lo,
    )
    lo, hi = gap.lo, gap.hi
    firsts, lasts = [gap.first_ns], [gap.last_ns]
    query = select(c.lo, c.hi, c.first_ns, c.last_ns).where(touching)
    for a, b, first, last in connection.execute(query).all():
        lo, hi = min(lo, a), max(hi, b)
        firsts.append(first)
        lasts.append(last)
    connection.execute(delete(audit_given_up).where(touching))
    row = {
        "gateway": gateway,
        "stream": gap.stream,
        "reason": reason.value,
        "lo": lo,
        "hi": hi,
        "rows": hi - lo,
        "first_ns": min((t for t in firsts if t is not None), default=None),
        "last_ns": max((t for t in lasts if t is not None), default=None),
    }
    connection.execute(insert(audit_given_up), row)


def _put_unnumbered(
    connection: Connection, gateway: str, event_key: tuple[str, int], gaps: Sequence[Gap]
) -> None:
    c = audit_given_up.c
    stream, seq = event_key
    same = and_(c.gateway == gateway, c.stream == stream, c.reason == UNNUMBERED, c.lo == seq)
    connection.execute(delete(audit_given_up).where(same))
    row = {
        "gateway": gateway,
        "stream": stream,
        "reason": UNNUMBERED,
        "lo": seq,
        "hi": seq + 1,
        "rows": sum(gap.rows for gap in gaps),
        "first_ns": min((g.first_ns for g in gaps if g.first_ns is not None), default=None),
        "last_ns": max((g.last_ns for g in gaps if g.last_ns is not None), default=None),
    }
    connection.execute(insert(audit_given_up), row)
