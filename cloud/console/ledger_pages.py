"""The ledger of confined spaces to look at: spaces with their hazards and history, instruments, and who may do what."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from cloud.api.gate import Reader, need_site
from cloud.api.services import Services, services
from cloud.console.permit_pages import seen_permits
from cloud.console.permit_show import PermitView
from cloud.console.permit_words import PermitWords
from cloud.console.raised import active_alarms
from cloud.console.render import language, page, translator
from cloud.console.show import stamp
from cloud.identity.permit_roles import PermitRole
from cloud.identity.rules import Action, Principal, may, sees
from cloud.permits.ledger import ROLES, LedgerChange, Qualified
from tocsin.permits.context import Instrument
from tocsin.permits.gas_limits import in_order
from tocsin.permits.names import ENDED
from tocsin.permits.rule_rows import RuleRow, Rules, Topic
from tocsin.permits.space import Space, Template

router = APIRouter(include_in_schema=False)
SOON_NS = 30 * 86_400 * 10**9  # what ends within a month is marked
_EVER = Rules("", "", 20.0, ())


@dataclass(frozen=True, slots=True)
class Held:
    """One person of a site. `mark`: whether training and medical examination count now."""

    name: str
    roles: frozenset[str]
    trained_ns: int
    fit_ns: int
    mark: str


@dataclass(frozen=True, slots=True)
class Detector:
    """One instrument of a site; `wrong` is why a gas test by it would be refused, "" where it would not."""

    instrument: Instrument
    wrong: str


@dataclass(frozen=True, slots=True)
class SiteView:
    """The ledger of one site."""

    site: str
    spaces: list[tuple[Space, Template | None, list[PermitView]]]
    detectors: list[Detector]
    people: list[Held]


@router.get("/permits/ledger")
async def ledger(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Every site that the caller sees."""
    parts = services(request)
    permits, active = await asyncio.gather(
        seen_permits(request, principal, live=False), active_alarms(parts, principal)
    )
    sites = await asyncio.to_thread(_sites, parts, principal, permits)
    may_edit = may(principal, Action.ADMIN)
    changes = await asyncio.to_thread(parts.permits.ledger.changes, None, 30) if may_edit else []
    words = PermitWords(translator(language(request)), language(request))
    return page(
        request, "permit_ledger.html", sites=sites, words=words, roles=list(PermitRole), active=active,
        changes=[_told(k) for k in changes],
    )  # fmt: skip


@router.get("/permits/ledger/{site}/{space}")
async def one_space(
    request: Request, site: str, space: str, principal: Principal = Reader
) -> HTMLResponse:
    """One space: what is dangerous about it, by which rules, and every permit it had."""
    need_site(principal, site)
    parts = services(request)
    place = await asyncio.to_thread(parts.permits.ledger.get, Space, site, space)
    permits, active = await asyncio.gather(
        seen_permits(request, principal, live=False), active_alarms(parts, principal)
    )
    template = parts.permits.packs.templates.get(place.template)
    rules = parts.permits.packs.rules.get(place.rules)
    return page(
        request,
        "permit_space.html",
        space=place,
        hazards=template,
        limits=_limits(rules, template),
        history=_history(permits, place),
        ended=ENDED,
        words=PermitWords(translator(language(request)), language(request), template),
        active=active,
    )


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One change; `was` and `now` name only what differs."""

    at_ns: int
    by: str
    kind: str
    about: str
    site: str
    was: str
    now: str


def _told(change: LedgerChange) -> ChangeView:
    """For people: times as days, nothing that stayed as it was."""
    was, now = change.before, change.after
    if change.kind != ROLES:
        before, after = (_flat(msgspec.json.decode(b)) if b else {} for b in (was, now))
        names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
        was, now = (
            "; ".join(f"{n} {side[n]}" for n in names if side.get(n)) for side in (before, after)
        )
    return ChangeView(change.at_ns, change.by, change.kind, change.about, change.site, was, now)


def _flat(body: dict[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in body.items():
        if isinstance(value, dict):
            found |= _flat(value)
        elif name.endswith("_ns") and isinstance(value, int):
            found[name.removesuffix("_ns")] = stamp(value) if value else ""
        elif isinstance(value, list):
            found[name] = ", ".join(map(str, value))
        elif name != "code":  # what the label says proves that somebody stood there
            found[name] = str(value or "")
    return found


def _sites(parts: Services, principal: Principal, permits: list[PermitView]) -> list[SiteView]:
    now_ns = parts.clock.now_ns()
    found = [s for s in parts.permits.ledger.all(Space) if sees(principal, s.site)]
    packs = parts.permits.packs
    told = []
    for site in sorted({s.site for s in found}):
        mine = [s for s in found if s.site == site]
        rules = packs.rules.get(mine[0].rules, _EVER)
        spaces = [(s, packs.templates.get(s.template), _history(permits, s)) for s in mine]
        instruments = parts.permits.ledger.all(Instrument, site)
        detectors = [Detector(i, _wrong(i, rules, now_ns)) for i in instruments]
        told.append(SiteView(site, spaces, detectors, _people(parts, site, now_ns)))
    return told


def _people(parts: Services, site: str, now_ns: int) -> list[Held]:
    known = {q.account: q for q in parts.permits.ledger.all(Qualified, site)}
    found = []
    for person in parts.permit_roles.people(site):
        q = known.get(person.name, Qualified(person.name, 0, 0))
        ends_ns = min(q.trained_until_ns, q.fit_until_ns)
        mark = "alarm1" if ends_ns <= now_ns else "stale" if ends_ns < now_ns + SOON_NS else "ok"
        roles = frozenset(r.value for r in person.roles)
        found.append(Held(person.name, roles, q.trained_until_ns, q.fit_until_ns, mark))
    return found


def _wrong(instrument: Instrument, rules: Rules, now_ns: int) -> str:
    refused = in_order(instrument, rules, now_ns)
    return refused.reason.value if refused is not None else ""


def _history(permits: list[PermitView], space: Space) -> list[PermitView]:
    """Newest first."""
    place = space.site, space.id
    mine = [p for p in permits if p.space is not None and (p.space.site, p.space.id) == place]
    return sorted(mine, key=lambda p: -p.changed_ns)


def _limits(rules: Rules | None, template: Template | None) -> list[RuleRow]:
    if rules is None or template is None:
        return []
    rows = [r for topic in (Topic.GAS, Topic.ALARM) for r in rules.of(topic)]
    gases = template.gases
    return sorted((r for r in rows if r.quantity in gases), key=lambda r: gases.index(r.quantity))
