"""The gateway's permits: taken from the cloud, watched, stopped alone, and told of upwards until the cloud keeps it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TypeVar

import msgspec

from edge.journal import Journal
from edge.lan.server import LanPage
from edge.locks.interface import LockNews
from edge.permits.chain import following
from edge.permits.conditions import Watch
from edge.permits.grants import Unlocker
from edge.permits.journal import PermitJournal
from edge.permits.options import SpaceConfig
from edge.permits.siren import Siren, must_sound
from edge.permits.watched import Watched
from tocsin.contract.messages import AttendantSigns
from tocsin.errors import OutboxError, OutboxFullError
from tocsin.grants.lock_log import LockEventKind
from tocsin.permits.context import Context
from tocsin.permits.decide import decide
from tocsin.permits.due import due
from tocsin.permits.facts import Fact, LockTold
from tocsin.permits.intervals import FRESHNESS, seconds
from tocsin.permits.journal import Entry, gateway_source
from tocsin.permits.live import breaches
from tocsin.permits.messages import KEY_UP, UP, KeyUp, PermitDown, SignsDown
from tocsin.permits.names import IN_FORCE, Action, Cause, Role, TimeQuality
from tocsin.permits.outcomes import Accepted, Effect, Outcome, Refused
from tocsin.permits.requests import Request
from tocsin.permits.signing import is_signed_down
from tocsin.permits.writing import written
from tocsin.sdk import Clock

MAX_DOWN_BYTES = 512 << 10
MAX_PERMITS = 200
MAX_LOCK_EVENTS = 1000  # of one look
LOOK_S = 1.0
START_S = 60.0  # after a start a value that was not heard yet is no breach
LEAST_S = 0.05  # between two looks, however fast values come
_AT_ONCE = 5  # requests of the system itself in one look
_REPEAT_NS = 20 * 10**9
_LEAST_NS = 10**9
_QUALITY = {
    "ntp": TimeQuality.SYNCED,
    "gps": TimeQuality.SYNCED,
    "free": TimeQuality.FREE,
    "unset": TimeQuality.UNSET,
}
_SAFE = frozenset(  # what holds even when the disk refuses it
    {Action.EXIT, Action.SUSPEND, Action.SOS, Action.EMERGENCY, Action.EXPIRE, Action.COUNT_PEOPLE,
     Action.LOCK, Action.REOPEN, Action.VENTILATE, Action.WARN}
)  # fmt: skip
_LOCK_EVENTS = frozenset(  # the others, like refusals, anybody near the lock can cause without end
    {LockEventKind.UNLOCK, LockEventKind.RELOCK, LockEventKind.OPENED, LockEventKind.CLOSED, LockEventKind.FORCED,
     LockEventKind.TAMPER, LockEventKind.EGRESS, LockEventKind.RESCUE, LockEventKind.JAMMED, LockEventKind.BY_HAND}
)  # fmt: skip
_T = TypeVar("_T")
_log = logging.getLogger("edge.permits")


class Surroundings(msgspec.Struct):
    """What the desk needs of the gateway. `say` takes events and must not block."""

    gateway: str
    site: str
    clock: Clock
    clock_state: Callable[[], str]
    key: Callable[[], bytes]
    outbox: Journal
    say: Callable[[str, str, str, dict[str, object]], None]


class PermitDesk:
    """All permits of one gateway. One decision at a time; what it decides holds at once and is on disk before it is answered."""

    def __init__(
        self,
        around: Surroundings,
        journal: PermitJournal,
        watch: Watch,
        spaces: Mapping[str, SpaceConfig],
        sirens: Mapping[str, Siren],
        *,
        watches_attendant: bool,
    ) -> None:
        self._around, self._journal, self.watch = around, journal, watch
        self._spaces, self._sirens = dict(spaces), dict(sirens)
        self._watches_attendant = watches_attendant
        self._own = gateway_source(around.gateway)
        self._permits: dict[str, Watched] = {}
        self._turn = asyncio.Lock()
        self._moved = asyncio.Event()
        self._working: set[asyncio.Task[object]] = set()
        self._anchor = (0, 0)  # (decision time, monotonic) of the last look
        self._said: set[str] = set()
        self.counters: Counter[str] = Counter()
        self.changed = asyncio.Event()
        self.unlocker: Unlocker
        self.borrow: Callable[[Watched], None] = lambda _: (
            None
        )  # what came with a permit for its locks
        self.settled: Callable[[], None] = lambda: None  # the time after a start is over
        self.seal = ""  # public half of the key that secrets for this gateway are sealed to, hex
        self.page: LanPage | None = None
        self._near: frozenset[str] = frozenset()  # devices at spaces with a permit
        self._lock_events: list[LockNews] = []
        self._sent: dict[str, int] = {}  # newest own number that was told, by permit

    async def restore(self) -> None:
        """Take up what the last run kept."""
        for stored in await self._journal.load():
            watched = Watched(stored.told, stored.entries, self._own)
            watched.tell = True
            self._permits[watched.id] = watched
            self.borrow(watched)
            own = [e.at_ns for e in watched.entries if e.source == self._own]
            self._anchor = (max([self._anchor[0], *own]), self._around.clock.mono_ns())
        self._sound()

    async def aclose(self) -> None:
        """End what is being decided, then close the journal."""
        await asyncio.gather(*self._working, return_exceptions=True)
        await self._journal.aclose()

    def permits(self) -> list[Watched]:
        """Those in hand, in force first."""
        return sorted(self._permits.values(), key=lambda w: (w.permit.state not in IN_FORCE, w.id))

    def find(self, permit: str) -> Watched | None:
        """One of them."""
        return self._permits.get(permit)

    def space(self, watched: Watched) -> SpaceConfig:
        """The space as this gateway knows it, else as the cloud's ledger says."""
        known = watched.told.space
        if known.id in self._spaces:
            return self._spaces[known.id]
        return SpaceConfig(
            id=known.id, gas=known.live.gas_devices or ("-",),
            ventilation=known.live.ventilation or None, locks=known.locks,
        )  # fmt: skip

    def context(self, watched: Watched) -> Context:
        """Everything around one permit now."""
        space = self.space(watched)
        conditions = self.watch.conditions(
            watched.id,
            space,
            self.now_ns(),
            since_ns=watched.permit.since_ns,
            watches_attendant=self._watches_attendant,
        )
        return watched.context(space, conditions)

    def now_ns(self) -> int:
        """The time decisions are taken at: the wall clock, but never back. A clock that is set back prolongs no permit."""
        clock = self._around.clock
        wall_ns, mono_ns = clock.now_ns(), clock.mono_ns()
        before_ns, at_ns = self._anchor
        self._anchor = (max(wall_ns, before_ns + mono_ns - at_ns if before_ns else 0), mono_ns)
        return self._anchor[0]

    def siren_on(self, watched: Watched) -> bool:
        """Whether the siren of its space is on."""
        siren = self._sirens.get(watched.told.space.id)
        return siren is not None and siren.is_on

    async def take(self, payload: bytes) -> None:
        """A message from `down/permit`; what is wrong with one is logged, counted, and harms nothing."""
        if len(payload) > MAX_DOWN_BYTES:
            self._refuse(f"{len(payload)} bytes, at most {MAX_DOWN_BYTES}")
            return
        try:
            told = msgspec.json.decode(payload, type=PermitDown)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            self._refuse(f"no permit: {exc}")
            return
        if not is_signed_down(told, self._around.key()):
            self._refuse(f"{told.permit}: the signature does not fit")
        elif (told.v, told.gateway) != (1, self._around.gateway):
            self._refuse(f"{told.permit}: version {told.v} for gateway {told.gateway}")
        elif told.permit not in self._permits and len(self._permits) >= MAX_PERMITS:
            self._refuse(f"{told.permit}: {MAX_PERMITS} permits are here already")
        else:
            await self._whole(self._take_in_turn(told))

    async def take_signs(self, payload: bytes) -> None:
        """A message from `down/sign`: signs of attendants at the cloud's pages."""
        try:
            told = msgspec.json.decode(payload, type=SignsDown)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            self._refuse(f"no signs of attendants: {exc}")
            return
        if not is_signed_down(told, self._around.key()):
            self._refuse("signs of attendants: the signature does not fit")
        elif (told.v, told.gateway) != (1, self._around.gateway):
            self._refuse(f"signs of attendants: version {told.v} for gateway {told.gateway}")
        else:
            self.watch.cloud_signs(told.signs, self._permits)

    async def carry_key(self, key: KeyUp) -> None:
        """A phone key that was made at the page, up to the cloud.

        Raises:
            OutboxError: it cannot be kept.
        """
        data: dict[str, object] = msgspec.to_builtins(key)
        await self._around.outbox.put_event(KEY_UP, "", f"a phone key of {key.account}", data)

    def signs(self) -> AttendantSigns:
        """What this gateway saw of its attendants, for the cloud."""
        return self.watch.signs(self._permits)

    async def _take_in_turn(self, told: PermitDown) -> None:
        async with self._turn:
            await self._take(told)

    async def _take(self, told: PermitDown) -> None:
        watched = self._permits.get(told.permit) or Watched(told, (), self._own)
        have = max(told.have, watched.told.have)
        news, fault = following(watched.entries, told.entries, told.permit, self._own, have)
        if fault is not None:
            text = f"{told.permit}: entry {fault.seq} of {fault.source}: {fault.kind}"
            self._refuse(text)
        after = Watched(watched.told, watched.entries, self._own)
        now_ns = self.now_ns()
        after.take(told, news, now_ns)
        watched_is_new = told.permit not in self._permits
        if watched_is_new or news or after.told != watched.told:
            try:
                await self._journal.keep(after.told, news)
            except OutboxError as exc:
                self._refuse(f"{told.permit}: not kept: {exc.message}")
                return
        watched.tell |= told.have < watched.told.have  # has it lost some? it hears what we keep
        watched.take(told, news, now_ns)
        self._permits[told.permit] = watched
        self.borrow(watched)
        if told.space.id not in self._sirens and watched_is_new:
            text = f"{told.permit}: no siren for {told.space.id} in [[spaces]]: nothing sounds"
            _log.warning("permit %s", text)
            self._around.say("permit.no-siren", "", text, {})
        if watched.lost:
            self._refuse(
                f"{told.permit}: this gateway's journal of it was lost: until the cloud has given it back what is done here does not merge"
            )
        watched.tell |= bool(told.entries) or watched_is_new
        self._changed()
        await self._look(watched)

    async def ask(self, permit: str, request: Request) -> Outcome | None:
        """Somebody asks; None: no such permit. An accepted request is on disk, and its effects have begun.

        Raises:
            OutboxError: it cannot be kept, so it does not count (what makes people safer counts all the same).
        """
        return await self._whole(self._asked(permit, request))

    async def _asked(self, permit: str, request: Request) -> Outcome | None:
        async with self._turn:
            watched = self._permits.get(permit)
            if watched is None:
                return None
            outcome = decide(watched.permit, request, self.context(watched), self.now_ns())
            facts = outcome.facts if isinstance(outcome, Accepted) else outcome.keep
            if isinstance(outcome, Refused):
                self.counters[f"refused.{outcome.reason.value}"] += 1
            if facts:
                effects = outcome.effects if isinstance(outcome, Accepted) else ()
                await self._write(watched, request, facts, effects)
            return outcome

    def _whole(self, work: Coroutine[object, object, _T]) -> Awaitable[_T]:
        """Whoever waits for it may be cancelled; it ends all the same, so that disk and memory say the same."""
        task = asyncio.create_task(work, name="permit-decision")
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return asyncio.shield(task)

    def lock_news(self, news: LockNews) -> None:
        """A lock tells something; must not block."""
        self.watch.lock_told(news)
        self._moved.set()
        if news.kind in _LOCK_EVENTS and len(self._lock_events) < MAX_LOCK_EVENTS:
            self._lock_events.append(news)
        elif news.kind is not None:  # it stands in the lock's own log, which is journalled apart
            self.counters["lock_events_passed_over"] += 1

    def moved(self, device: str) -> None:
        """A value of a device has changed: look at once if it is at a space with a permit."""
        if device in self._near:
            self._moved.set()

    async def run(self) -> None:
        """Look every second, and at once when a value moved, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, siren in self._sirens.items():
                tasks.create_task(siren.run(), name=f"siren:{name}")
            if self.page is not None:
                tasks.create_task(self.page.run(), name="attendants-page")
            while True:
                self._moved.clear()
                async with self._turn:
                    await self._round()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._moved.wait()
                except TimeoutError:
                    continue
                await self._around.clock.sleep(LEAST_S)

    async def _round(self) -> None:
        self.watch.cloud_ok()
        spaces = [self.space(w) for w in self._permits.values()]
        fans = {s.ventilation.partition("/")[0] for s in spaces if s.ventilation}
        self._near = frozenset(fans.union(*(s.gas for s in spaces)))
        events, self._lock_events = self._lock_events, []
        for news in events:
            await self._lock_said(news)
        for watched in list(self._permits.values()):
            await self._look(watched)
            await self._settle(watched)
            await self._tell(watched)
            if watched.is_over and not watched.tell:
                await self._forget(watched)
        self._sound()
        if self.watch.up_s >= START_S:
            self.settled()
            self.settled = lambda: None

    async def _look(self, watched: Watched) -> None:
        for _ in range(_AT_ONCE):
            context, now_ns = self.context(watched), self.now_ns()
            request = self._due(watched, context, now_ns)
            if request is None:
                return
            outcome = decide(watched.permit, request, context, now_ns)
            if isinstance(outcome, Refused):
                if watched.id + outcome.reason not in self._said:
                    self._said.add(watched.id + outcome.reason)
                    _log.error("permit %s: %s: %s", watched.id, request.action, outcome.reason)
                return
            try:
                await self._write(watched, request, outcome.facts, outcome.effects)
            except OutboxError as exc:  # the next look asks again
                self._complain(exc)
                return

    def _due(self, watched: Watched, context: Context, now_ns: int) -> Request | None:
        """As the rules say; but just after a start nothing that was not heard yet counts as silent."""
        request = due(watched.permit, context, now_ns)
        limit_s, _ = seconds(context.rules, FRESHNESS)
        if request is None or request.cause is None or self.watch.up_s >= min(limit_s, START_S):
            return request
        heard = [b for b in breaches(watched.permit, context, now_ns) if b.cause is not Cause.STALE]
        if not heard or request.action is not Action.SUSPEND:
            return request if request.action is not Action.SUSPEND else None
        reason = f"{heard[0].cause.value} {heard[0].detail}".strip()
        return msgspec.structs.replace(request, reason=reason, cause=heard[0].cause)

    async def _lock_said(self, news: LockNews) -> None:
        kind = LockEventKind(news.kind).name.lower().replace("_", "-") if news.kind else ""
        if news.kind == LockEventKind.BY_HAND and news.state.bolt_out:
            kind = "locked-by-hand"
        fact = LockTold(news.lock, kind, news.state.synced_seq or 0, news.cti.hex())
        request = Request(Action.LOCK, self._around.gateway, Role.SYSTEM, news.text, fact)
        for watched in self._permits.values():
            if news.lock in self.space(watched).locks and watched.has_begun:
                context = self.context(watched)
                outcome = decide(watched.permit, request, context, self.now_ns())
                if isinstance(outcome, Accepted):
                    await self._write(watched, request, outcome.facts, outcome.effects)

    async def _write(
        self, watched: Watched, request: Request, facts: Sequence[Fact], effects: Sequence[Effect]
    ) -> None:
        """Facts into the journal. What makes people safer is in force before, and whatever, the disk says."""
        around = self._around
        quality = _QUALITY.get(around.clock_state(), TimeQuality.FREE)
        now_ns, version = self.now_ns(), watched.told.rules.version
        entries = written(
            watched.id, watched.entries, self._own, request, facts, now_ns, quality, version
        )
        safe = request.action in _SAFE
        if safe:
            self._in_force(watched, entries, effects)
        try:
            await self._journal.keep(None, [*watched.owed, *entries], urgent=safe)
        except OutboxError as exc:
            if not safe:
                raise
            watched.owed += entries
            self._complain(exc)
            return
        watched.owed = []
        if not safe:
            self._in_force(watched, entries, effects)
        await self._tell(watched)

    def _in_force(
        self, watched: Watched, entries: Sequence[Entry], effects: Sequence[Effect]
    ) -> None:
        before = watched.permit.state
        watched.append(entries)
        if Effect.SIREN_OFF in effects:
            watched.silenced_ns = self.now_ns()
        if Effect.SIREN_ON in effects:
            watched.silenced_ns = None
        after, last = watched.permit.state, entries[-1]
        if after is not before:
            inside = ", ".join(sorted(watched.permit.inside)) or "nobody"
            _log.warning(
                "permit %s: %s -> %s by %s (%s); inside: %s",
                watched.id, before, after, last.actor, last.reason, inside,
            )  # fmt: skip
        self._sound()
        self._changed()

    async def _settle(self, watched: Watched) -> None:
        """Try again what the disk refused."""
        if watched.owed:
            try:
                await self._journal.keep(None, watched.owed, urgent=True)
            except OutboxError as exc:
                self._complain(exc)
            else:
                watched.owed = []
                _log.warning("the permit journal takes entries again")
                self._said.discard("disk")

    async def _tell(self, watched: Watched) -> None:
        """Upwards: at once what is news, again every 20 s what the cloud has not said it keeps, as long as it can be reached."""
        unmerged, mono_ns = watched.unmerged, self._around.clock.mono_ns()
        since_ns = mono_ns - watched.told_mono_ns if watched.told_mono_ns else _REPEAT_NS
        newest = unmerged[-1].seq if unmerged else 0
        news = newest > self._sent.get(watched.id, 0)
        again = bool(unmerged) and since_ns >= _REPEAT_NS and self.watch.cloud_ok()
        if not (news or again or (watched.tell and since_ns >= _LEAST_NS)):
            return
        after = self._sent.get(watched.id, 0) if news and not again else 0
        up = msgspec.structs.replace(
            watched.up(self._around.gateway, after),
            siren=watched.told.space.id in self._sirens,
        )
        try:
            data: dict[str, object] = msgspec.to_builtins(up)
            await self._around.outbox.put_event(UP, "", f"{watched.id} {up.state.value}", data)
        except OutboxError as exc:
            self._complain(exc)
            return
        watched.tell, watched.told_mono_ns = False, mono_ns
        if up.entries:
            self._sent[watched.id] = up.entries[-1].seq

    async def _forget(self, watched: Watched) -> None:
        try:
            await self._journal.forget(watched.id)
        except OutboxError as exc:
            self._complain(exc)
            return
        del self._permits[watched.id]
        self.watch.forget(watched.id)
        self._changed()

    def _sound(self) -> None:
        wanted = {
            w.told.space.id
            for w in self._permits.values()
            if must_sound(w.seen, w.silenced_ns, w.called_ns)
        }
        for space, siren in self._sirens.items():
            siren.want(space in wanted)

    def _changed(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def _complain(self, exc: OutboxError) -> None:
        if "disk" not in self._said:
            self._said.add("disk")
            _log.error("the permit journal takes nothing: %s", exc.message)
        if isinstance(exc, OutboxFullError):
            self.counters["journal_full"] += 1

    def _refuse(self, text: str) -> None:
        self.counters["down_refused"] += 1
        if text not in self._said:
            if len(self._said) > 100:
                self._said.clear()
            self._said.add(text)
            _log.warning("what the cloud told of a permit is refused: %s", text)
            self._around.say("permit.refused", "", text, {})
