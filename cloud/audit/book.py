"""What the cloud knows of the numbers of its gateways, gathered beside ingest, and the answer to an audit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from cloud.audit.keeper import AuditKeeper, Key, StreamTold
from cloud.audit.marks import OpenMarks
from cloud.audit.model import Finding, Span, StreamFacts
from cloud.audit.report import HOUR_NS, GatewayReport, Known, report
from cloud.ingest.stamps import Stored
from cloud.ingest.told import Logged
from tocsin.contract import topics
from tocsin.contract.gaps import SALVAGED, gaps_of
from tocsin.contract.ids import is_ulid, time_of
from tocsin.contract.messages import Event, Health, StreamState
from tocsin.contract.ranges import RangeSet
from tocsin.errors import NotFoundError, StoreUnavailableError
from tocsin.sdk import Clock

WRITE_EVERY_NS = 10 * 10**9
JOIN_EVERY_NS = 3600 * 10**9
HOURS = 24
VIEW_FOR_NS = 10 * 10**9
POWER_CUT, ON_DISK_AGAIN = "outbox.power-cut", "outbox.on-disk-again"  # events
FRESH_NS = 30 * 10**9  # a gateway that was silent for longer has nothing on its way

Settled = Mapping[str, tuple[RangeSet, RangeSet]]  # stream -> (settled, of them rejected)


class AuditBook:
    """Fed by the ingest thread, written and read from any. `ledger` and `letters` answer for one gateway."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        sites: Mapping[str, str],
        ledger: Callable[[str], Settled],
        letters: Callable[[str], Mapping[str, Iterable[Finding]]],
    ) -> None:
        self._keeper = AuditKeeper(engine)
        self._clock, self._sites, self._ledger, self._letters = clock, sites, ledger, letters
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._streams = self._keeper.streams()
        self._before: dict[Key, int] = {}  # the next number as it was told the time before
        self._changed: set[Key] = set()
        self._logged: dict[Key, RangeSet] = {}
        self._marks: dict[Key, OpenMarks] = {}
        self._viewing = threading.Lock()
        self._view: tuple[list[GatewayReport], int] = [], 0
        self._written_mono = self._joined_mono = clock.mono_ns()

    def on_event(self, event: Event, received_ns: int) -> None:
        """Keep what a gateway says it gave up.

        Raises:
            StoreUnavailableError: it is not kept; try again later.
        """
        gaps = [gap for gap in gaps_of(event) if not gap.stream or is_ulid(gap.stream)]
        if gaps:
            key = event.stream, event.seq
            self._keeper.add_given_up(event.gateway, key, gaps, event.kind)
        if event.kind in (SALVAGED, POWER_CUT):
            self._broken(event)
        if event.kind == ON_DISK_AGAIN:
            self._brought_back(event)

    def on_health(self, health: Health, received_ns: int) -> None:
        """What a gateway tells of its streams every few seconds."""
        self.on_streams(health.gateway, health.streams, received_ns, volatile=health.volatile)

    def on_streams(
        self,
        gateway: str,
        streams: Iterable[StreamState],
        received_ns: int,
        *,
        volatile: bool | None = None,
    ) -> None:
        """All streams that a gateway has; a stream it does not name it has no longer."""
        told = {s.stream: s for s in streams if is_ulid(s.stream)}
        with self._lock:
            for (owner, name), before in self._streams.items():
                if owner == gateway and name not in told and before.held:
                    self._streams[owner, name] = replace(before, held=False)
                    self._changed.add((owner, name))
            for name, s in told.items():
                key = gateway, name
                known = self._streams.get(key)
                if known and received_ns - known.told_ns < FRESH_NS:
                    self._before[key] = known.next_seq
                else:
                    self._before.pop(key, None)
                self._streams[key] = StreamTold(
                    s.cls[:16],
                    s.first_kept,
                    s.committed,
                    s.next_seq,
                    max(s.next_seq, known.end if known else 0),
                    held=True,
                    volatile=bool(known and known.volatile) if volatile is None else volatile,
                    salvaged=bool(known and known.salvaged),
                    told_ns=received_ns if s.live or not known else known.told_ns,
                    live=s.live,
                    power_cut=bool(known and known.power_cut),
                )
                self._changed.add(key)

    def on_stored(self, stored: Iterable[Stored]) -> None:
        """These are durable."""
        now_ns = self._clock.mono_ns()
        with self._lock:
            for s in stored:
                marks = self._marks.get((s.gateway, s.stream))
                if marks is None:
                    marks = self._marks[s.gateway, s.stream] = OpenMarks()
                marks.note(s.lo, s.hi, s.first_ns, s.last_ns, now_ns)

    def given_up(self, gateway: str) -> dict[str, list[tuple[int, int]]]:
        """By stream the numbers it said it gave up.

        Raises:
            StoreUnavailableError: it cannot be read; try again later.
        """
        try:
            by_stream, _ = self._keeper.given_up(gateway)
        except SQLAlchemyError as exc:
            raise StoreUnavailableError(f"the state database cannot be read: {exc}") from exc
        return {stream: [(g.lo, g.hi) for g in given] for stream, given in by_stream.items()}

    def on_logged(self, logged: Iterable[Logged]) -> None:
        """The log holds these, or did."""
        with self._lock:
            for told in logged:
                if told.gateway in self._sites and is_ulid(told.stream):
                    ranges = self._logged.setdefault((told.gateway, told.stream), RangeSet())
                    ranges.add(told.lo, told.hi)

    def keep(self) -> None:
        """Write what changed, every 10 s; join old marks, every hour. From a thread that may wait for the disk.

        Raises:
            StoreUnavailableError: it is written later.
        """
        now_mono = self._clock.mono_ns()
        if now_mono - self._written_mono >= WRITE_EVERY_NS:
            self.write()
            self._written_mono = now_mono
        if now_mono - self._joined_mono >= JOIN_EVERY_NS:
            self._joined_mono = now_mono
            with self._lock:
                growing = {key: marks.growing for key, marks in self._marks.items()}
            self._keeper.join_old(self._clock.now_ns(), growing)

    def write(self) -> None:
        """Write what changed now.

        Raises:
            StoreUnavailableError: it is written later.
        """
        with self._writing:
            with self._lock:
                changed, self._changed = self._changed, set()
                streams = {key: self._streams[key] for key in changed}
                marks = {k: m.take_changed() for k, m in self._marks.items() if m.changed}
            if not streams and not marks:
                return
            try:
                self._keeper.save(streams, {k: m.values() for k, m in marks.items()})
            except BaseException:
                with self._lock:
                    self._changed |= changed
                    for key, mine in marks.items():
                        self._marks[key].give_back(mine)
                raise

    def report(
        self,
        gateway: str,
        from_ns: int | None = None,
        to_ns: int | None = None,
        *,
        by_hour: bool = False,
    ) -> GatewayReport:
        """Whether everything of a gateway is stored, in [from_ns, to_ns) where given.

        Raises:
            NotFoundError: nobody registered it and nothing of it is stored.
            StoreUnavailableError: a shared ledger cannot be read.
        """
        with suppress(StoreUnavailableError):  # then the newest times are a little less exact
            self.write()
        ledger = self._ledger(gateway)
        with self._lock:
            told = {name: t for (owner, name), t in self._streams.items() if owner == gateway}
            before = {name: n for (owner, name), n in self._before.items() if owner == gateway}
        if gateway not in self._sites and not ledger and not told:
            raise NotFoundError(f"there is no gateway {gateway!r}", hint=self._near(gateway))
        given_up, never = self._keeper.given_up(gateway)
        marks = self._keeper.marks(gateway)
        rejected = any(r for _, r in ledger.values())
        letters = self._letters(gateway) if rejected else {}
        now_ns = self._clock.now_ns()
        told_ns = max((t.told_ns for t in told.values()), default=None)
        fresh = before if told_ns is not None and now_ns - told_ns < FRESH_NS else {}
        known = []
        logged = self._still_logged(gateway, ledger)
        for name in sorted({*ledger, *told, *given_up, *logged}):
            settled, refused = ledger.get(name, (RangeSet(), RangeSet()))
            mine = given_up.get(name, [])
            facts = _facts(name, told, settled, refused)
            facts = replace(
                facts,
                fresh=fresh.get(name),
                given_up=tuple(mine),
                logged=logged.get(name, RangeSet()),
                end=max([facts.end, *(g.hi for g in mine), logged.get(name, RangeSet()).end]),
            )
            known.append(Known(facts, marks.get(name, ()), letters.get(name, ())))
        this_hour = now_ns // HOUR_NS * HOUR_NS
        hours = range(this_hour - (HOURS - 1) * HOUR_NS, this_hour + 1, HOUR_NS)
        return report(
            self._sites.get(gateway, ""),
            gateway,
            known,
            told_ns=told_ns,
            now_ns=now_ns,
            from_ns=from_ns,
            to_ns=to_ns,
            unnumbered=never,
            hours=hours if by_hour else (),
        )

    def overview(self, from_ns: int | None = None, to_ns: int | None = None) -> list[GatewayReport]:
        """Every registered gateway with its last 24 h, without the streams; of all time at most 10 s old."""
        with self._viewing:
            view, at_mono = self._view
            whole = from_ns is to_ns is None
            now_mono = self._clock.mono_ns()
            if whole and view and now_mono - at_mono < VIEW_FOR_NS:
                return view
            view = [
                replace(self.report(name, from_ns, to_ns, by_hour=True), streams=[])
                for name in sorted(self._sites)
            ]
            if whole:
                self._view = view, now_mono
            return view

    def _still_logged(self, gateway: str, ledger: Settled) -> dict[str, RangeSet]:
        """What the log took and nobody has stored; the rest is forgotten."""
        found: dict[str, RangeSet] = {}
        with self._lock:
            for (owner, name), ranges in list(self._logged.items()):
                if owner != gateway:
                    continue
                settled = ledger.get(name, (RangeSet(),))[0]
                left = RangeSet(part for have in ranges for part in settled.missing(*have))
                if left:
                    found[name] = self._logged[owner, name] = left
                else:
                    del self._logged[owner, name]
            return {name: RangeSet(ranges) for name, ranges in found.items()}

    def _near(self, gateway: str) -> str:
        """What to ask for instead."""
        near = get_close_matches(gateway, self._sites, 3) or sorted(self._sites)[:3]
        if not near:
            return "no gateway is registered: `[[gateways]]` in cloud.toml names them"
        return f"did you mean {', '.join(near)}? `tocsin audit` lists all"

    def _broken(self, event: Event) -> None:
        """Streams older than those that the gateway then began may end short."""
        damaged = event.kind == SALVAGED
        with self._lock:
            for (owner, name), told in self._streams.items():
                if owner == event.gateway and _begin(name) < _begin(event.stream):
                    self._streams[owner, name] = replace(
                        told,
                        salvaged=told.salvaged or damaged,
                        power_cut=told.power_cut or not damaged,
                    )
                    self._changed.add((owner, name))
        self.write()

    def _brought_back(self, event: Event) -> None:
        """What stood in for a disk in memory is on it: such streams have ended in order."""
        with self._lock:
            for (owner, name), told in self._streams.items():
                lent = told.volatile and told.live and name != event.stream
                if owner == event.gateway and lent and _begin(name) <= event.t:
                    self._streams[owner, name] = replace(told, live=False)
                    self._changed.add((owner, name))
        self.write()


def _begin(stream: str) -> int:
    return time_of(stream) or 0


def _out_of_reach(told: StreamTold, streams: Mapping[str, StreamTold]) -> bool:
    """Whether it lies on a disk that refuses, while the gateway works in memory."""
    return (
        not told.held and not told.volatile and any(t.held and t.volatile for t in streams.values())
    )


def _later(name: str, told: StreamTold, streams: Mapping[str, StreamTold]) -> list[str]:
    """Streams of its class that began after it, and not merely to stand in for it in memory."""
    return [
        n
        for n, t in streams.items()
        if t.cls == told.cls
        and _begin(n) > _begin(name)
        and (told.volatile or not t.volatile)
        and not _was_lent(n, t, streams)
    ]


def _is_replaced(name: str, told: StreamTold, streams: Mapping[str, StreamTold]) -> bool:
    """Whether it takes no more numbers and another one does: its gateway does not trust how far it had got."""
    return (
        not told.live and bool(_later(name, told, streams)) and not _was_lent(name, told, streams)
    )


def _was_lent(name: str, told: StreamTold, streams: Mapping[str, StreamTold]) -> bool:
    """Whether it only stood in for an older one in memory, which took numbers again after it: nothing of it is in doubt."""
    return not told.live and any(
        t.cls == told.cls and _begin(n) < _begin(name) and t.told_ns > told.told_ns
        for n, t in streams.items()
    )


def _ended(name: str, streams: Mapping[str, StreamTold]) -> Span | None:
    """Of a stream that ended without a last word: from its last one to the beginning of its successor."""
    told = streams.get(name)
    if told is None or _out_of_reach(told, streams) or _was_lent(name, told, streams):
        return None
    gone = told.live and not told.held
    if not (told.salvaged or told.power_cut or gone or _is_replaced(name, told, streams)):
        return None
    to_ns = min((_begin(n) for n in _later(name, told, streams)), default=None)
    from_ns = told.told_ns if to_ns is None or told.told_ns <= to_ns else None
    return Span(from_ns, to_ns)


def _facts(
    name: str, streams: Mapping[str, StreamTold], settled: RangeSet, rejected: RangeSet
) -> StreamFacts:
    stored = RangeSet(part for have in settled for part in rejected.missing(*have))
    told = streams.get(name)
    if told is None:  # a cloud of an older version had it, and its gateway has not spoken since
        return StreamFacts(name, topics.TELEMETRY, settled.end, stored, rejected)
    held = (max(told.first_kept, told.committed), told.next_seq) if told.held else None
    return StreamFacts(
        name,
        told.cls,
        max(told.end, settled.end),
        stored,
        rejected,
        held=held,
        salvaged=told.salvaged,
        power_cut=told.power_cut or (not told.salvaged and _is_replaced(name, told, streams)),
        out_of_reach=_out_of_reach(told, streams),
        volatile=told.volatile,
        ended=_ended(name, streams),
    )
