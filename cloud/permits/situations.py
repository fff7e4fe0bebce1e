"""What the rules look at besides the permit, as the cloud knows it: people, instruments, other permits, live values."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection, select

from cloud.identity.tables import accounts, permit_roles
from cloud.ingest.last import Last
from cloud.permits import journals
from cloud.permits.attendants import PATIENCE_NS, Attendants, Heard, Told
from cloud.permits.granting import grants_of
from cloud.permits.kept import Kept, find, unended
from cloud.permits.ledger import Qualified, items
from tocsin.errors import StoreError
from tocsin.permits.context import Account, Conditions, Context, Instrument, Other, Reading
from tocsin.permits.facts import Drafted
from tocsin.permits.journal import CLOUD, Entry
from tocsin.permits.names import Cause, Role, State
from tocsin.permits.permit import permit_of

MAX_KNOWN = 10_000
HEARD_NS = 60 * 10**9
_EVER_NS = 2**63 - 1
Values = Callable[[str], Iterable[Last]]


class Situations:
    """`values`: newest values of a site, from memory. `heard` and `told`: see `Attendants`. `can_tell`: whether a gateway has a command key."""

    def __init__(
        self,
        values: Values,
        heard: Heard,
        told: Told,
        began_ns: int,
        can_tell: Callable[[str], bool],
    ) -> None:
        self.can_tell = can_tell
        self._began_ns = began_ns
        self._values, self._heard = values, heard
        self.attendants = Attendants(heard, told, began_ns)
        self._known: dict[str, tuple[tuple[State, int], Other | None]] = {}

    def is_heard(self, gateway: str, now_ns: int) -> bool:
        """Whether a gateway is there to be told something; one that is not hears everything as it comes back."""
        return abs(now_ns - self._heard(gateway)) <= HEARD_NS

    def waits_for_gateway(self, kept: Kept, cause: Cause | None, now_ns: int) -> bool:
        """Whether a silence is ours and not the place's: after our own start, or while the line is cut.

        A gateway that keeps the permit goes on watching and suspends alone, so we wait a while before we believe it gone.
        """
        if cause is Cause.ATTENDANT:
            return self.attendants.is_for_gateway(kept, now_ns)
        if not kept.told or cause is not Cause.STALE:
            return False
        heard_ns = self._heard(kept.gateway)
        since_ns = max(heard_ns, self._began_ns)
        return abs(now_ns - heard_ns) > HEARD_NS and now_ns - since_ns < PATIENCE_NS

    def context(self, c: Connection, kept: Kept, entries: Iterable[Entry], now_ns: int) -> Context:
        """Everything around one permit now."""
        entries = list(entries)
        newest = max((e.seq for e in entries if e.source == CLOUD), default=0)
        return Context(
            rules=kept.basis.rules,
            space=kept.basis.space,
            template=kept.basis.template,
            people=people_at(c, kept.site),
            instruments={i.id: i for i in items(c, Instrument, kept.site)},
            others=self._others(c, kept, _linked(entries)),
            conditions=self._conditions(kept, now_ns),
            gateway_current=kept.told >= newest or self._is_deaf(kept),
            denied=frozenset(
                g.cti for g in grants_of(c, kept.id) if g.void_ns is not None and g.exp_ns > now_ns
            ),
        )

    def _is_deaf(self, kept: Kept) -> bool:
        """Whether its gateway never heard of the permit and never will, so that it has nothing to say of it."""
        return not kept.told and not self.can_tell(kept.gateway)

    def _others(self, c: Connection, kept: Kept, linked: set[str]) -> tuple[Other, ...]:
        """Of the site: not ended, or linked. A form changes only in a draft, so that the others need not be read each time."""
        found = []
        others = unended(c, kept.site)
        ended = [find(c, name) for name in sorted(linked - {o.id for o in others})]
        for other in [*others, *(o for o in ended if o is not None and o.site == kept.site)]:
            if other.id == kept.id:
                continue
            mark = other.state, other.changed_ns
            known = self._known.get(other.id)
            if known is None or known[0] != mark or other.state is State.DRAFT:
                known = mark, _other(c, other)
                self._known[other.id] = known
            if known[1] is not None:
                found.append(known[1])
        if len(self._known) > MAX_KNOWN:
            self._known = {}
        return tuple(found)

    def _conditions(self, kept: Kept, now_ns: int) -> Conditions:
        live = kept.basis.space.live
        readings = []
        ventilating, ventilating_ns = None, 0
        fan_device, _, fan_quantity = live.ventilation.partition("/")
        for last in self._values(kept.site):
            if live.ventilation and (last.device, last.quantity) == (fan_device, fan_quantity):
                ventilating = None if last.value is None or last.q else bool(last.value)
                ventilating_ns = last.time_ns
            if last.device in live.gas_devices and isinstance(last.value, int | float):
                good, value = last.q == 0, float(last.value)
                readings.append(
                    Reading(last.device, last.quantity, value, last.unit, last.time_ns, good)
                )
        return Conditions(
            readings=tuple(readings),
            ventilating=ventilating,
            ventilating_ns=ventilating_ns,
            attendant_ns=self.attendants.newest_ns(kept, now_ns),
        )


def people_at(c: Connection, site: str) -> dict[str, Account]:
    """Everybody with a role at a site, by account name."""
    qualified = {q.account: q for q in items(c, Qualified, site)}
    columns = (accounts.c.name, accounts.c.sites, permit_roles.c.role, permit_roles.c.site)
    query = (
        select(*columns)
        .join(permit_roles, permit_roles.c.account_id == accounts.c.id)
        .where(accounts.c.disabled.is_(False))
    )
    roles: dict[str, set[Role]] = {}
    for name, sites, role, at in c.execute(query):
        if (sites is None or site in sites) and at in ("", site):
            roles.setdefault(name, set()).add(Role(role))
    found = {}
    for name, held in roles.items():
        known = qualified.get(name, Qualified(name, 0, 0))
        found[name] = Account(name, frozenset(held), known.trained_until_ns, known.fit_until_ns)
    return found


def _linked(entries: Iterable[Entry]) -> set[str]:
    """What the form links as it was drafted last."""
    linked: set[str] = set()
    for entry in entries:
        if isinstance(entry.fact, Drafted):
            linked = set(entry.fact.form.linked)
    return linked


def _other(c: Connection, kept: Kept) -> Other | None:
    """One whose journal cannot be trusted still holds its space, as its row says."""
    conflicts = kept.basis.template.conflicts
    try:
        form = permit_of(kept.id, journals.load(c, kept.id)).form
    except StoreError:
        return Other(kept.id, kept.space, kept.state, 0, _EVER_NS, (), conflicts)
    if form is None:
        return None
    when = form.from_ns, form.until_ns
    return Other(kept.id, kept.space, kept.state, *when, form.activities, conflicts)
