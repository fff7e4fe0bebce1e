"""An admin changes the ledger in the console: spaces, instruments, and who is trained, fit and what at a site."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloud.api.gate import allow, need_site
from cloud.api.models import Id
from cloud.api.permit_ledger import InstrumentBody, LiveBody, QualifiedBody, SpaceBody, enter_space
from cloud.api.second_factor import post_roles
from cloud.api.services import Services, services
from cloud.console.permit_words import PermitWords
from cloud.console.raised import active_alarms
from cloud.console.render import language, page, translator
from cloud.identity.permit_roles import PermitRole, Post
from cloud.identity.rules import Action, Principal
from cloud.permits.ledger import Qualified
from tocsin.errors import BadRequestError, IdentityError, NotFoundError
from tocsin.permits.context import Instrument
from tocsin.permits.space import Space

router = APIRouter(include_in_schema=False)
Admin = Depends(allow(Action.ADMIN))
Kind = Literal["space", "instrument", "person"]
BACK = "/permits/ledger"
_DAY = timedelta(days=1)
_IDS: TypeAdapter[str] = TypeAdapter(Id)


@router.get("/permits/ledger-edit")
async def edit(
    request: Request,
    kind: Annotated[Kind, Query()],
    site: Annotated[str, Query(max_length=64)] = "",
    id: Annotated[str, Query(max_length=64)] = "",  # noqa: A002
    principal: Principal = Admin,
) -> HTMLResponse:
    """One entry with its fields; without an id, a new one."""
    parts = services(request)
    shown = await asyncio.to_thread(_fields, parts, kind, site, id) if id else {}
    return await _page(request, principal, kind, site, id, shown)


@router.post("/permits/ledger-edit/{kind}")
async def save(request: Request, kind: Kind, principal: Principal = Admin) -> Response:
    """Enter it, and who did; the page again with what is wrong with it."""
    form = await request.form()
    site, key = _word(form, "site"), _word(form, "id")
    need_site(principal, site)
    try:
        await asyncio.to_thread(_enter, services(request), kind, site, key, form, principal.name)
    except (ValidationError, ValueError, BadRequestError, IdentityError, NotFoundError) as error:
        known = "" if form.get("new") else key
        return await _page(request, principal, kind, site, known, _sent(form), _told(error))
    return RedirectResponse(BACK, status_code=303)


def _enter(parts: Services, kind: Kind, site: str, key: str, form: FormData, by: str) -> None:
    for name in (site,) if kind == "person" else (site, key):
        _IDS.validate_python(name)
    if form.get("new") and _is_there(parts, kind, site, key):
        raise BadRequestError(f"{key!r} is in the ledger of {site} already: change that entry")
    if kind == "space":
        enter_space(parts, site, key, _space(form), by)
    elif kind == "instrument":
        entered = Instrument(id=key, **_instrument(parts, site, key, form).model_dump())
        parts.permits.ledger.put(site, key, entered, by)
    else:
        _person(parts, site, key, form, by)


def _is_there(parts: Services, kind: Kind, site: str, key: str) -> bool:
    ledger = parts.permits.ledger
    with suppress(NotFoundError):
        if kind == "space":
            ledger.get(Space, site, key)
        elif kind == "instrument":
            ledger.get(Instrument, site, key)
        else:
            ledger.get(Qualified, site, key)
        return True
    return False


def _space(form: FormData) -> SpaceBody:
    names = ("gateway", "name", "template", "rules", "code", "former_contents")
    live = LiveBody(
        gas_devices=_list(form, "gas_devices"),
        ventilation=_word(form, "ventilation"),
        siren=_word(form, "siren"),
    )
    told = {name: _word(form, name) for name in names}
    lists = {"locks": _list(form, "locks"), "near": _list(form, "near")}
    return SpaceBody.model_validate(told | lists | {"live": live})


def _instrument(parts: Services, site: str, key: str, form: FormData) -> InstrumentBody:
    before = [i for i in parts.permits.ledger.all(Instrument, site) if i.id == key]
    bumped = (
        parts.clock.now_ns() if form.get("bumped_now") else before[0].bumped_ns if before else 0
    )
    return InstrumentBody(
        calibrated_ns=_day_ns(form, "calibrated"),
        calibrated_until_ns=_day_ns(form, "calibrated_until", end=True),
        bumped_ns=bumped,
        device=_word(form, "device"),
    )


def _person(parts: Services, site: str, account: str, form: FormData, by: str) -> None:
    """Roles at this site alone; those at every site stay as they are."""
    found = [a.id for a in parts.accounts.list() if a.name == account]
    if not found:
        raise NotFoundError(f"there is no account {account!r}")
    dates = QualifiedBody(
        trained_until_ns=_day_ns(form, "trained_until", end=True),
        fit_until_ns=_day_ns(form, "fit_until", end=True),
    )
    wanted = {PermitRole(str(role)) for role in form.getlist("role")}
    elsewhere = [p for p in parts.permit_roles.posts(found[0]) if p.site != site]
    parts.permits.ledger.put(site, account, Qualified(account, **dates.model_dump()), by)
    post_roles(parts, found[0], [*elsewhere, *(Post(role, site) for role in wanted)], by)


def _fields(parts: Services, kind: Kind, site: str, key: str) -> Mapping[str, object]:
    """As the form has them."""
    if kind == "space":
        s = parts.permits.ledger.get(Space, site, key)
        lists = {"locks": s.locks, "near": s.near, "gas_devices": s.live.gas_devices}
        names = ("gateway", "name", "template", "rules", "code", "former_contents")
        signals = {"ventilation": s.live.ventilation, "siren": s.live.siren}
        listed = {name: ", ".join(items) for name, items in lists.items()}
        return {name: getattr(s, name) for name in names} | signals | listed
    if kind == "instrument":
        i = parts.permits.ledger.get(Instrument, site, key)
        days = {"calibrated": i.calibrated_ns, "calibrated_until": i.calibrated_until_ns}
        return {n: _day(ns) for n, ns in days.items()} | {"device": i.device, "bumped": i.bumped_ns}
    known = {q.account: q for q in parts.permits.ledger.all(Qualified, site)}
    q = known.get(key, Qualified(key, 0, 0))
    account = next((a.id for a in parts.accounts.list() if a.name == key), None)
    posts = [] if account is None else parts.permit_roles.posts(account)
    return {
        "trained_until": _day(q.trained_until_ns),
        "fit_until": _day(q.fit_until_ns),
        "role": {p.role.value for p in posts if p.site == site},
        "everywhere": [p.role.value for p in posts if not p.site],
    }


def _sent(form: FormData) -> dict[str, object]:
    """What was typed, to be mended."""
    told: dict[str, object] = {name: str(value) for name, value in form.items()}
    return told | {"role": {str(role) for role in form.getlist("role")}}


def _word(form: FormData, name: str) -> str:
    return str(form.get(name) or "").strip()


def _list(form: FormData, name: str) -> tuple[str, ...]:
    words = _word(form, name).replace("，", ",").replace("、", ",").split(",")
    return tuple(w.strip() for w in words if w.strip())


def _day_ns(form: FormData, name: str, *, end: bool = False) -> int:
    """Unix ns of a day's beginning or of its last second, UTC; 0 where none is given."""
    if not (word := _word(form, name)):
        return 0
    at = datetime.strptime(word, "%Y-%m-%d").replace(tzinfo=UTC)
    seconds = (at + _DAY).timestamp() - 1 if end else at.timestamp()
    return max(0, int(seconds)) * 10**9


def _day(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d") if ns else ""


def _told(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return str(error)


async def _page(
    request: Request,
    principal: Principal,
    kind: Kind,
    site: str,
    key: str,
    shown: Mapping[str, object],
    problem: str = "",
) -> HTMLResponse:
    parts = services(request)
    names = await asyncio.to_thread(lambda: sorted(a.name for a in parts.accounts.list()))
    return page(
        request,
        "permit_ledger_edit.html",
        status=409 if problem else 200,
        kind=kind,
        site=site,
        key=key,
        f=shown,
        problem=problem,
        accounts=names,
        roles=list(PermitRole),
        packs=parts.permits.packs,
        words=PermitWords(translator(language(request)), language(request)),
        active=await active_alarms(parts, principal),
    )
