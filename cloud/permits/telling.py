"""What a gateway is told of a permit, again and again until it says that it keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from sqlalchemy import Connection

from cloud.identity.pins import pins_of
from cloud.permits.asked_keys import phones
from cloud.permits.granting import grants_of
from cloud.permits.holders import keys_of
from cloud.permits.kept import Kept
from tocsin.permits.context import Context
from tocsin.permits.journal import CLOUD, Entry, entry_bytes, gateway_source
from tocsin.permits.messages import LentTime, PermitDown, Person
from tocsin.permits.names import Role
from tocsin.permits.permit import Permit

VERSION = 1
_ALWAYS = frozenset({Role.RESCUE, Role.APPROVER, Role.REGULATOR})
MAX_ENTRIES = 200  # in one message; the next one has more
GIVEN_BACK_BYTES = (
    320 << 10
)  # of entries to a gateway that lost its own, before it writes new ones in their place


def down_of(
    c: Connection,
    kept: Kept,
    permit: Permit,
    entries: Sequence[Entry],
    context: Context,
    times: tuple[LentTime, ...],
    now_ns: int,
    lost_from: int | None = None,
) -> PermitDown:
    """Everything the gateway needs to go on alone, and the entries it has not said it keeps.

    `lost_from`: it has lost its own journal beyond that number, and gets it back in the order of causes.
    """
    source = gateway_source(kept.gateway)
    missing = [
        e
        for e in entries
        if (e.source == CLOUD and e.seq > kept.told)
        or (lost_from is not None and e.source == source and e.seq > lost_from)
    ]
    issued = grants_of(c, kept.id)
    return PermitDown(
        v=VERSION,
        permit=kept.id,
        gateway=kept.gateway,
        space=kept.basis.space,
        template=kept.basis.template,
        rules=kept.basis.rules,
        entries=tuple(missing[:MAX_ENTRIES] if lost_from is None else _first(missing)),
        have=max((e.seq for e in entries if e.source == source), default=0),
        people=people_of(c, kept.site, context, named_in(permit)),
        grants=tuple(g.sealed for g in issued if g.is_live(now_ns)),
        denied=tuple(sorted(context.denied)),
        instruments=tuple(context.instruments.values()),
        times=times,
        others=context.others,
    )


def _first(entries: Sequence[Entry]) -> list[Entry]:
    """As many as one message takes."""
    ends = accumulate(len(entry_bytes(e)) for e in entries)
    return [e for e, end in zip(entries, ends, strict=True) if end <= GIVEN_BACK_BYTES]


def named_in(permit: Permit) -> set[str]:
    """Everybody a permit names."""
    form = permit.form
    if form is None:
        return {permit.applicant}
    people = {permit.applicant, form.work_leader, form.gas_tester, *permit.approvers}
    return {name for name in people | {*form.attendants, *form.entrants} if name}


def people_of(c: Connection, site: str, context: Context, named: set[str]) -> tuple[Person, ...]:
    """Who may act at the gateway: those named, and whoever rescues, approves or regulates at the site."""
    found = []
    pins = pins_of(c)
    for name, account in sorted(context.people.items()):
        if name in named or account.roles & _ALWAYS:
            keys = keys_of(c, name)
            person = Person(
                account=name,
                name=name,
                roles=tuple(sorted(account.roles)),
                pin=pins.get(name, ""),
                key=keys[0].public if keys else b"",
                trained_until_ns=account.trained_until_ns,
                fit_until_ns=account.fit_until_ns,
                phones=phones(c, site, name),
            )
            found.append(person)
    return tuple(found)
