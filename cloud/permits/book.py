"""The cloud's permits: each moved by the shared rules in one transaction, journalled, told to its gateway. From any thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec
from sqlalchemy import Connection, Engine

from cloud.alarms.silence import Condition
from cloud.db import read, write
from cloud.permits import asked_keys, journals
from cloud.permits import kept as rows
from cloud.permits.bundle import Basis
from cloud.permits.effects import Effects
from cloud.permits.kept import Kept
from cloud.permits.ledger import item
from cloud.permits.loaded import Loaded, appended, loaded
from cloud.permits.packs import Packs
from cloud.permits.parting import heard, siren_noted
from cloud.permits.photos import is_taken
from cloud.permits.ruling import Ask, refusal_told, rule
from cloud.permits.shown import entry_row, permit_row, standing
from cloud.permits.situations import Situations
from cloud.permits.telling import down_of
from tocsin.contract import topics
from tocsin.contract.ids import ulid
from tocsin.contract.messages import Event
from tocsin.errors import PermitRefusedError, StoreError, StoreUnavailableError
from tocsin.permits.context import Context
from tocsin.permits.decide import decide, keep_until_ns
from tocsin.permits.due import due
from tocsin.permits.facts import Drafted, Fact, Form, Isolated
from tocsin.permits.journal import CLOUD, gateway_source
from tocsin.permits.merge import merge
from tocsin.permits.messages import DOWN, KEY_UP, SIGNS, UP, KeyUp, PermitUp, SignsDown
from tocsin.permits.names import ENDED, IN_FORCE, Action, Role, State
from tocsin.permits.outcomes import Refused, refused
from tocsin.permits.permit import Permit, permit_of
from tocsin.permits.refusals import PermitRefusal
from tocsin.permits.requests import Request
from tocsin.permits.signing import sign_down
from tocsin.permits.space import Space
from tocsin.sdk import Clock

UNTOLD = frozenset({State.DRAFT, State.SUBMITTED, State.REJECTED})  # nothing for a gateway
APART_NS = 60 * 10**9  # the same, to one whose journal does not follow
RESEND_NS = 5 * 10**9  # to a gateway that is heard and has not said that it keeps everything
BY_ITSELF = 8  # requests of the system in one look at most; the next look goes on
_log = logging.getLogger("cloud.permits")


class PermitBook:
    """`changed` hears every permit that moved, after its commit; `send` takes a message for a gateway; `watch` alarms."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        packs: Packs,
        situations: Situations,
        effects: Effects,
        keys: Mapping[str, bytes],
        changed: Callable[[dict[str, object]], None],
        send: Callable[[str, bytes], object],
        watch: Callable[[Sequence[Condition]], None],
    ) -> None:
        self._engine, self._clock, self._packs = engine, clock, packs
        self._situations, self._effects, self._keys = situations, effects, keys
        self._changed, self._send, self._watch = changed, send, watch
        self._broken: set[str] = set()
        self._told_ns: dict[str, int] = {}
        self._apart: dict[str, PermitUp] = {}  # what was heard last, where it did not follow
        self._lock = threading.RLock()  # a decision looks at other permits: one after another

    def draft(self, site: str, form: Form, actor: str) -> dict[str, object]:
        """Begin one; its space, template and rules are those of now for as long as it lives.

        Raises:
            NotFoundError: the ledger has no such space, or there is no such template.
            PermitRefusedError: the rules say no.
        """
        now_ns = self._clock.now_ns()
        with self._lock, write(self._engine) as c:
            space = item(c, Space, site, form.space)
            template = self._packs.template(form.template)
            basis = Basis(space, template, self._packs.pack(space.rules))
            made = Kept(
                ulid(now_ns),
                site,
                space.id,
                space.gateway,
                State.DRAFT,
                False,
                now_ns,
                basis,
                0,
            )
            rows.begin(c, made)
            begun = Loaded(made, Permit(made.id), [])
            ask = Ask(Action.DRAFT, actor, Drafted(form))
            after, refused = self._asked(c, begun, ask, now_ns)
            if refused is not None:
                raise PermitRefusedError(refusal_told(refused))
        return self._tell(after)

    def act(self, permit: str, ask: Ask) -> dict[str, object]:
        """What somebody asks of a permit.

        Raises:
            NotFoundError: there is no such permit.
            PermitRefusedError: the rules say no; what must be kept all the same is in the journal.
            StoreError: its journal was changed by somebody else than Tocsin.
        """
        now_ns = self._clock.now_ns()
        with self._lock, write(self._engine) as c:
            found = self._load(c, permit)
            form = found.permit.form
            signs = form is not None and ask.actor in form.attendants
            if signs:
                self._situations.attendants.sign(permit, now_ns)
            after, refused = self._asked(c, found, ask, now_ns)
        if signs:
            self._tell_signs([found.kept])
        told = self._tell(after) if after.entries != found.entries else {}
        if refused is not None:
            raise PermitRefusedError(refusal_told(refused))
        return told

    def sign(self, permit: str, actor: str) -> dict[str, object]:
        """The attendant is there and awake. Kept in memory, and told to the gateway: it is worth nothing a minute later.

        Raises:
            NotFoundError: there is no such permit.
        """
        with read(self._engine) as c:
            found = self._load(c, permit)
        form = found.permit.form
        counts = form is not None and actor in form.attendants
        if counts:
            self._situations.attendants.sign(permit, self._clock.now_ns())
            self._tell_signs([found.kept])
        return {"counts": counts}

    def why(self, permit: str, actor: str) -> dict[str, object]:
        """For every action None where this person may do it now, else the refusal. Actions with a fact are tried without.

        Raises:
            NotFoundError: there is no such permit.
        """
        now_ns = self._clock.now_ns()
        told: dict[str, object] = {}
        with read(self._engine) as c:
            found = self._load(c, permit)
            context = self._situations.context(c, found.kept, found.entries, now_ns)
        place = found.kept.basis.space.code
        for action in Action:
            ask = Ask(action, actor, reason="-", place=place)
            ruled = rule(found.permit, ask, context, now_ns)
            told[action.value] = refusal_told(ruled) if isinstance(ruled, Refused) else None
        return told

    def row(self, permit: str) -> dict[str, object]:
        """One permit as the API tells it.

        Raises:
            NotFoundError: there is no such permit.
        """
        with read(self._engine) as c:
            found = self._load(c, permit)
        return self._told(found.kept, found.permit, self._clock.now_ns())

    def rows(
        self, *, sites: Sequence[str] | None = None, live: bool = False, limit: int = 200
    ) -> list[dict[str, object]]:
        """Those with people inside first, then newest first."""
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            kept = rows.listed(c, sites=sites, live=live, limit=limit)
            told = [self._shown(c, k, now_ns) for k in kept]
        return sorted(told, key=lambda r: not r["occupied"])

    def _told(self, kept: Kept, permit: Permit, now_ns: int) -> dict[str, object]:
        watched = self._situations.can_tell(kept.gateway)
        return permit_row(kept, permit, now_ns, watched=watched)

    def _shown(self, c: Connection, kept: Kept, now_ns: int) -> dict[str, object]:
        """One that was changed is listed as what its row says, so that it hides none of the others."""
        try:
            return self._told(kept, permit_of(kept.id, journals.load(c, kept.id)), now_ns)
        except StoreError as exc:
            lost = Permit(kept.id, state=kept.state, headcount_known=False)
            return self._told(kept, lost, now_ns) | {"fault": exc.message}

    def journal(self, permit: str) -> list[dict[str, object]]:
        """Every entry with its hash, in the order both sides agree on.

        Raises:
            NotFoundError: there is no such permit.
        """
        with read(self._engine) as c:
            return [entry_row(e) for e in self._load(c, permit).entries]

    def on_event(self, event: Event, received_ns: int) -> None:
        """What a gateway wrote of a permit: on disk before this returns.

        Raises:
            StoreUnavailableError: it is not kept; the message will come again.
        """
        if event.kind == KEY_UP:
            self._asked_key(event)
        if event.kind != UP:
            return
        try:
            up = msgspec.convert(event.data, PermitUp)
        except msgspec.ValidationError as exc:
            _log.warning(
                "gateway %s: what it tells of a permit cannot be read: %s", event.gateway, exc
            )
            return
        now_ns = self._clock.now_ns()
        with self._lock, write(self._engine) as c:
            kept = rows.find(c, up.permit)
            if kept is None or kept.gateway != event.gateway:
                return  # another gateway's permit is not its to write
            found = loaded(c, kept)
            taken = journals.take(found.entries, up.entries, gateway_source(event.gateway))
            for fault in taken.faults:
                if not journals.is_mended_later(fault):
                    _log.error(
                        "permit %s: entry %d of %s: %s",
                        up.permit,
                        fault.seq,
                        fault.source,
                        fault.kind,
                    )
            for entry in taken.news:
                journals.append(c, entry, received_ns)
            entries = merge([*found.entries, *taken.news]) if taken.news else found.entries
            merged = Loaded(kept, permit_of(kept.id, entries), entries)
            says = heard(found, up, taken, merged.permit)
            merged = replace(merged, kept=replace(kept, told=says.told))
            if says.noted is not None:
                _log.error("permit %s: %s: %s", up.permit, says.noted.what, says.noted.detail)
                merged = self._noted(c, merged, Action.WARN, says.noted, now_ns)
            if siren := siren_noted(up, merged.permit):
                merged = self._noted(c, merged, Action.WARN, siren, now_ns)
            after = self._follow(c, merged, found.permit.state, now_ns)
        before = self._apart.pop(up.permit, None)
        if not says.whole:
            self._apart[up.permit] = up
        stuck = before is not None and (up.have, up.own) == (before.have, before.own)
        if after.entries != found.entries:
            self._tell(after)
        elif not (stuck and not says.whole) and (
            after.kept.told < after.own or up.entries or up.lost
        ):
            self._tell_gateway(after)  # one that is stuck would answer for ever

    def _asked_key(self, event: Event) -> None:
        try:
            up = msgspec.convert(event.data, KeyUp)
        except msgspec.ValidationError as exc:
            _log.warning("gateway %s: a key that cannot be read: %s", event.gateway, exc)
            return
        with self._lock, write(self._engine) as c:
            asked_keys.take(c, event.site, event.gateway, up, self._clock.now_ns())
        self.resend(event.gateway)

    def retell(self, site: str) -> None:
        """Who may act has changed at a site: its gateways are told."""
        with read(self._engine) as c:
            found = {k.gateway for k in rows.listed(c, live=True) if k.site == site}
        for gateway in found:
            self.resend(gateway)

    def resend(self, gateway: str) -> None:
        """A gateway speaks again: tell it every permit that it watches."""
        with read(self._engine) as c:
            found = [loaded(c, k) for k in rows.listed(c, live=True) if k.gateway == gateway]
        for one in found:
            self._tell_gateway(one)

    def archive(self, permit: str) -> None:
        """An ended permit takes nothing more.

        Raises:
            NotFoundError: there is no such permit.
            PermitRefusedError: it has not ended.
        """
        now_ns = self._clock.now_ns()
        request = Request(Action.ARCHIVE, CLOUD, Role.SYSTEM)
        with self._lock, write(self._engine) as c:
            found = self._load(c, permit)
            context = self._situations.context(c, found.kept, found.entries, now_ns)
            outcome = decide(found.permit, request, context, now_ns)
            if isinstance(outcome, Refused):
                raise PermitRefusedError(refusal_told(outcome))
            after = self._written(c, found, request, outcome.facts, now_ns)
        self._tell(after)

    def look(self) -> None:
        """Once a second: what the system asks by itself, and grants to renew."""
        with read(self._engine) as c:
            live = rows.listed(c, live=True)
        self._tell_signs(k for k in live if self._situations.attendants.owes(k.gateway))
        for permit in (k.id for k in live):
            try:
                self._look(permit)
            except StoreUnavailableError:
                raise
            except (
                StoreError
            ) as exc:  # one that was changed must not keep the others from being watched
                if permit not in self._broken:
                    _log.error("%s", exc.message)
                self._broken.add(permit)

    def _look(self, permit: str) -> None:
        """Most looks find nothing to do, and hold no writer up."""
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            found = self._load(c, permit)
            context = self._situations.context(c, found.kept, found.entries, now_ns)
            quiet = self._due(found, context, now_ns) is None
            quiet = quiet and not self._effects.is_due(c, found.kept, found.permit, context, now_ns)
        if not quiet:
            with self._lock, write(self._engine) as c:
                found = self._load(c, permit)
                after = self._by_itself(c, found, now_ns)
            if after.entries != found.entries:
                self._tell(after)
                return
        if found.permit.state in IN_FORCE:
            self._watch(standing(found.kept, found.permit))  # lest one was lost between two commits
        if found.kept.told < found.own and self._situations.is_heard(found.kept.gateway, now_ns):
            told_ns = self._told_ns.get(permit, 0)
            wait_ns = APART_NS if permit in self._apart else RESEND_NS
            if not told_ns <= now_ns < told_ns + wait_ns:
                self._tell_gateway(found)

    def _due(self, found: Loaded, context: Context, now_ns: int) -> Request | None:
        request = due(found.permit, context, now_ns)
        if request is None or request.action is not Action.SUSPEND:
            return request
        waits = self._situations.waits_for_gateway(found.kept, request.cause, now_ns)
        return None if waits else request

    def _by_itself(self, c: Connection, after: Loaded, now_ns: int) -> Loaded:
        """What the system asks, and grants in place of those that end soon."""
        for _ in range(BY_ITSELF):
            context = self._situations.context(c, after.kept, after.entries, now_ns)
            request = self._due(after, context, now_ns)
            if request is None:
                break
            outcome = decide(after.permit, request, context, now_ns)
            if isinstance(outcome, Refused):
                told = after.kept.id, request.action, outcome.reason
                _log.error("permit %s: %s by itself: %s", *told)
                break
            after = self._written(c, after, request, outcome.facts, now_ns)
        context = self._situations.context(c, after.kept, after.entries, now_ns)
        for noted in self._effects.renew(c, after.kept, after.permit, context, now_ns):
            after = self._granted(c, after, noted, now_ns)
        return after

    def _asked(
        self, c: Connection, found: Loaded, ask: Ask, now_ns: int
    ) -> tuple[Loaded, Refused | None]:
        context = self._situations.context(c, found.kept, found.entries, now_ns)
        ruled = rule(found.permit, ask, context, now_ns)
        if not isinstance(ruled, Refused) and ask.action is Action.ISOLATE:
            ruled = _without_picture(c, found.kept.site, ask.said) or ruled
        if isinstance(ruled, Refused):
            if not ruled.keep:
                return found, ruled
            held = sorted(context.people[ask.actor].roles & {Role.GAS_TESTER})
            request = Request(ask.action, ask.actor, held[0] if held else Role.SYSTEM, ask.reason)
            return self._written(c, found, request, ruled.keep, now_ns), ruled
        request, accepted = ruled
        return self._written(c, found, request, accepted.facts, now_ns), None

    def _written(
        self, c: Connection, found: Loaded, request: Request, said: Sequence[Fact], now_ns: int
    ) -> Loaded:
        """Facts into the journal, then what follows from them."""
        entries = appended(c, found, request, said, now_ns)
        after = Loaded(found.kept, permit_of(found.kept.id, entries), entries)
        return self._follow(c, after, found.permit.state, now_ns)

    def _follow(self, c: Connection, found: Loaded, before: State, now_ns: int) -> Loaded:
        """Grants follow the state, and the row follows both."""
        context = self._situations.context(c, found.kept, found.entries, now_ns)
        for noted in self._effects.follow(c, found.kept, before, found.permit, context, now_ns):
            found = self._granted(c, found, noted, now_ns)
        kept, permit = found.kept, found.permit
        ended = permit.state in ENDED
        current = kept.told >= found.own
        kept = replace(
            kept,
            state=permit.state,
            changed_ns=now_ns if permit.state is not before else kept.changed_ns,
            live=permit.state not in UNTOLD and not (ended and current),
            ended_ns=(kept.ended_ns or now_ns) if ended else None,
            keep_until_ns=keep_until_ns(permit, context) if ended else None,
        )
        rows.save(c, kept)
        return Loaded(kept, permit, found.entries)

    def _granted(self, c: Connection, found: Loaded, noted: Fact, now_ns: int) -> Loaded:
        return self._noted(c, found, Action.GRANT, noted, now_ns)

    @staticmethod
    def _noted(c: Connection, found: Loaded, action: Action, noted: Fact, now_ns: int) -> Loaded:
        request = Request(action, CLOUD, Role.SYSTEM)
        entries = appended(c, found, request, [noted], now_ns)
        return Loaded(found.kept, permit_of(found.kept.id, entries), entries)

    def _load(self, c: Connection, permit: str) -> Loaded:
        return loaded(c, rows.get(c, permit))

    def _tell(self, found: Loaded) -> dict[str, object]:
        """After the commit: pages, alarms, the gateway."""
        kept, permit = found.kept, found.permit
        told = self._told(kept, permit, self._clock.now_ns())
        self._changed(told)
        with read(self._engine) as c:
            others = [k for k in rows.unended(c, kept.site) if k.space == kept.space]
        held = any(k.id != kept.id and k.state in IN_FORCE for k in others)
        if permit.activated_ns is not None and not held:
            self._watch(standing(kept, permit))
        if permit.state in ENDED:
            self._situations.attendants.forget(kept.id)
            self._told_ns.pop(kept.id, None)
            self._apart.pop(kept.id, None)
        self._tell_gateway(found)
        return {"permit": told}

    def _tell_signs(self, permits: Iterable[Kept]) -> None:
        """What our pages saw of attendants, to the gateways of their permits."""
        by_gateway: dict[tuple[str, str], list[str]] = {}
        for kept in permits:
            by_gateway.setdefault((kept.site, kept.gateway), []).append(kept.id)
        for (site, gateway), ids in by_gateway.items():
            signs = self._situations.attendants.answer(gateway, ids, self._clock.now_ns())
            key = self._keys.get(gateway)
            if signs is not None and key:
                down = sign_down(SignsDown(1, gateway, signs), key)
                self._send(topics.down(site, gateway, SIGNS), msgspec.json.encode(down))

    def _tell_gateway(self, found: Loaded) -> None:
        key = self._keys.get(found.kept.gateway)
        if found.permit.state in UNTOLD or not key:
            return
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            context = self._situations.context(c, found.kept, found.entries, now_ns)
            lent = self._effects.lent(c, found.kept, now_ns)
            apart = self._apart.get(found.kept.id)
            lost_from = apart.own if apart is not None and apart.lost else None
            down = down_of(
                c, found.kept, found.permit, found.entries, context, lent, now_ns, lost_from
            )
        self._told_ns[found.kept.id] = now_ns
        topic = topics.down(found.kept.site, found.kept.gateway, DOWN)
        self._send(topic, msgspec.json.encode(sign_down(down, key)))


def _without_picture(c: Connection, site: str, said: Fact | None) -> Refused | None:
    """An isolation shows a picture that was sent to this site."""
    if not isinstance(said, Isolated) or not said.photo or is_taken(c, said.photo, site):
        return None
    return refused(PermitRefusal.PHOTO_MISSING, item=said.item)
