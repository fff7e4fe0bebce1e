"""Permits over HTTP: apply, prove, decide, watch. The rules live in `tocsin.permits`; the spine runs them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from cloud.api.gate import Reader, need_site
from cloud.api.models import Id
from cloud.api.permit_bodies import (
    DraftBody,
    EntryTold,
    FormBody,
    GasTestBody,
    IsolationBody,
    MadeTold,
    PermitTold,
    PersonBody,
    PlaceBody,
    ReasonBody,
    RollCallBody,
    RosterTold,
    SignedBody,
    SignTold,
    ToolsBody,
    VentilationBody,
    WhyTold,
)
from cloud.api.permit_calls import act, form_of, permit_in_scope, spine_call
from cloud.api.persons import need_factor, person_of
from cloud.api.rows import row_of, rows_of, within
from cloud.identity.rules import Principal
from tocsin.permits import facts
from tocsin.permits.names import Action

router = APIRouter(prefix="/api/v1/permits", tags=["permits"])


@router.get("")
async def permits(
    request: Request,
    live: Annotated[bool, Query(description="Only those that hold their space.")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    principal: Principal = Reader,
) -> list[PermitTold]:
    """Permits of the caller's sites: those with people inside first, then newest first."""
    sites = None if principal.sites is None else sorted(principal.sites)
    answer = await spine_call(request, "permits", sites=sites, live=live, limit=limit)
    return [PermitTold.model_validate(r) for r in within(principal, rows_of(answer))]


@router.post("", status_code=201)
async def apply(request: Request, body: DraftBody, principal: Principal = Reader) -> MadeTold:
    """Begin a permit for a space of the ledger."""
    need_site(principal, body.site)
    me = person_of(principal)
    answer = await spine_call(
        request,
        "permit_draft",
        site=body.site,
        form=msgspec.to_builtins(form_of(body.form)),
        actor=me.name,
    )
    return MadeTold.model_validate(row_of(answer))


@router.get("/{permit}")
async def permit(request: Request, permit: Id, principal: Principal = Reader) -> PermitTold:
    """One permit."""
    return PermitTold.model_validate(await permit_in_scope(request, principal, permit))


@router.get("/{permit}/journal")
async def journal(request: Request, permit: Id, principal: Principal = Reader) -> list[EntryTold]:
    """Everything that happened, in the order that cloud and gateway agree on, each entry with its hash."""
    await permit_in_scope(request, principal, permit)
    answer = await spine_call(request, "permit_journal", permit=permit)
    return [EntryTold.model_validate(r) for r in rows_of(answer)]


@router.get("/{permit}/export")
async def export(request: Request, permit: Id, principal: Principal = Reader) -> Response:
    """The signed bundle, for an inspector: `tocsin permit verify` checks it without the cloud."""
    await permit_in_scope(request, principal, permit)
    data = await spine_call(request, "permit_export", permit=permit)
    name = {"Content-Disposition": f'attachment; filename="permit-{permit}.tar"'}
    body = data if isinstance(data, bytes) else b""
    return Response(body, media_type="application/x-tar", headers=name)


@router.get("/{permit}/why")
async def why(request: Request, permit: Id, principal: Principal = Reader) -> WhyTold:
    """What the caller may do now, and for the rest why not, with the rule."""
    await permit_in_scope(request, principal, permit)
    actor = person_of(principal).name
    answer = await spine_call(request, "permit_why", permit=permit, actor=actor)
    return WhyTold.model_validate({"actions": answer})


@router.get("/{permit}/roster")
async def roster(request: Request, permit: Id, principal: Principal = Reader) -> RosterTold:
    """Who may go in, who is inside, who was."""
    told = PermitTold.model_validate(await permit_in_scope(request, principal, permit)).permit
    form = told.get("form") or {}
    return RosterTold(
        entrants=form.get("entrants", []),
        inside=told.get("inside", []),
        entered_ever=told.get("entered_ever", []),
        headcount_known=told.get("headcount_known", True),
    )


@router.post("/{permit}/attendant")
async def attendant(request: Request, permit: Id, principal: Principal = Reader) -> SignTold:
    """The attendant's sign of life, every 20 s or so while the page is open; `counts`: the caller is an attendant."""
    await permit_in_scope(request, principal, permit)
    actor = person_of(principal).name
    answer = await spine_call(request, "permit_sign", permit=permit, actor=actor)
    return SignTold.model_validate(row_of(answer))


@router.put("/{permit}/form")
async def change(
    request: Request, permit: Id, body: FormBody, principal: Principal = Reader
) -> MadeTold:
    """Change the form of a draft."""
    fact = facts.Drafted(form_of(body))
    return await act(request, principal, permit, Action.DRAFT, fact)


@router.post("/{permit}/submit")
async def submit(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """Hand the application in."""
    return await act(request, principal, permit, Action.SUBMIT, reason=body.reason)


@router.post("/{permit}/prepare")
async def prepare(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """An approver accepts it for preparation; conflicts with work nearby are looked for."""
    return await act(request, principal, permit, Action.PREPARE, reason=body.reason)


@router.post("/{permit}/reject")
async def reject(
    request: Request, permit: Id, body: SignedBody, principal: Principal = Reader
) -> MadeTold:
    """An approver turns it down."""
    return await _signed(request, principal, permit, Action.REJECT, body)


@router.post("/{permit}/isolations/{item}")
async def isolate(
    request: Request, permit: Id, item: Id, body: IsolationBody, principal: Principal = Reader
) -> MadeTold:
    """Sign one item of the isolation list, or say that it was taken away."""
    fact = facts.Isolated(item, body.on, body.photo)
    action = Action.ISOLATE if body.on else Action.REOPEN
    return await act(request, principal, permit, action, fact, reason=body.reason)


@router.post("/{permit}/ventilation")
async def ventilate(
    request: Request, permit: Id, body: VentilationBody, principal: Principal = Reader
) -> MadeTold:
    """Ventilation began, or stopped."""
    fact = facts.Ventilated(body.on)
    return await act(request, principal, permit, Action.VENTILATE, fact, reason=body.reason)


@router.post("/{permit}/gas-tests")
async def gas_test(
    request: Request, permit: Id, body: GasTestBody, principal: Principal = Reader
) -> MadeTold:
    """Record a gas test; the values decide."""
    told = body.model_dump(exclude={"reason", "points", "instruments"})
    points = tuple(facts.Point(**p.model_dump()) for p in body.points)
    fact = facts.GasTested(tuple(body.instruments), points, **told)
    return await act(request, principal, permit, Action.TEST, fact, reason=body.reason)


@router.post("/{permit}/briefing")
async def brief(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """The caller signs the briefing."""
    fact = facts.Briefed(person_of(principal).name)
    return await act(request, principal, permit, Action.BRIEF, fact, reason=body.reason)


@router.post("/{permit}/tools")
async def tools(
    request: Request, permit: Id, body: ToolsBody, principal: Principal = Reader
) -> MadeTold:
    """So many tools go in, or are out."""
    fact = facts.ToolsCounted(body.way, body.count)
    return await act(request, principal, permit, Action.COUNT_TOOLS, fact)


@router.post("/{permit}/approve")
async def approve(
    request: Request, permit: Id, body: SignedBody, principal: Principal = Reader
) -> MadeTold:
    """An approver at the place lets it begin, with a reason and the second factor."""
    return await _signed(request, principal, permit, Action.APPROVE, body)


@router.post("/{permit}/activate")
async def activate(
    request: Request, permit: Id, body: PlaceBody, principal: Principal = Reader
) -> MadeTold:
    """The attendant releases the lock: grants are issued, the roster is armed."""
    return await act(
        request, principal, permit, Action.ACTIVATE, reason=body.reason, place=body.place
    )


@router.post("/{permit}/enter")
async def enter(
    request: Request, permit: Id, body: PersonBody, principal: Principal = Reader
) -> MadeTold:
    """Somebody goes in."""
    fact = facts.Entered(body.person)
    return await act(request, principal, permit, Action.ENTER, fact, reason=body.reason)


@router.post("/{permit}/exit")
async def leave(
    request: Request, permit: Id, body: PersonBody, principal: Principal = Reader
) -> MadeTold:
    """Somebody came out."""
    fact = facts.Exited(body.person)
    return await act(request, principal, permit, Action.EXIT, fact, reason=body.reason)


@router.post("/{permit}/roll-call")
async def roll_call(
    request: Request, permit: Id, body: RollCallBody, principal: Principal = Reader
) -> MadeTold:
    """Exactly these are inside."""
    said = facts.Counted(tuple(body.inside))
    return await act(request, principal, permit, Action.COUNT_PEOPLE, said, reason=body.reason)


@router.post("/{permit}/suspend")
async def suspend(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """Stop: grants end, the siren sounds, only exits are taken."""
    return await act(request, principal, permit, Action.SUSPEND, reason=body.reason)


@router.post("/{permit}/sos")
async def sos(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """Help: as `suspend`, from anyone."""
    return await act(request, principal, permit, Action.SOS, reason=body.reason)


@router.post("/{permit}/resume")
async def resume(
    request: Request, permit: Id, body: SignedBody, principal: Principal = Reader
) -> MadeTold:
    """An approver lets it go on after a new full test, with the second factor."""
    return await _signed(request, principal, permit, Action.RESUME, body)


@router.post("/{permit}/emergency")
async def emergency(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """Rescue begins: anyone may say so."""
    return await act(request, principal, permit, Action.EMERGENCY, reason=body.reason)


@router.post("/{permit}/rescue-ended")
async def rescue_ended(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """The rescue team says that it is over; then an approver ends the emergency."""
    return await act(request, principal, permit, Action.END_RESCUE, reason=body.reason)


@router.post("/{permit}/finish")
async def finish(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """The work is done: people come out."""
    return await act(request, principal, permit, Action.FINISH, reason=body.reason)


@router.post("/{permit}/hand-back")
async def hand_back(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """The isolations are handed back."""
    return await act(request, principal, permit, Action.HAND_BACK, reason=body.reason)


@router.post("/{permit}/back-to-prepared")
async def back(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """Prepare and test anew: the interruption was too long, or something changed."""
    return await act(request, principal, permit, Action.BACK_TO_PREPARED, reason=body.reason)


@router.post("/{permit}/close")
async def close(
    request: Request, permit: Id, body: ReasonBody, principal: Principal = Reader
) -> MadeTold:
    """Nobody inside, tools out, locked, isolations handed back: the attendant says so first, then an approver closes."""
    return await act(request, principal, permit, Action.CLOSE, reason=body.reason)


@router.post("/{permit}/revoke")
async def revoke(
    request: Request, permit: Id, body: SignedBody, principal: Principal = Reader
) -> MadeTold:
    """Take it back before it was ever active, with the second factor."""
    return await _signed(request, principal, permit, Action.REVOKE, body)


async def _signed(
    request: Request, principal: Principal, permit: str, action: Action, body: SignedBody
) -> MadeTold:
    """The code is taken first: it is worth nothing afterwards, whatever the rules say."""
    await permit_in_scope(request, principal, permit)
    await asyncio.to_thread(need_factor, request, person_of(principal), body.code)
    return await act(request, principal, permit, action, reason=body.reason, place=body.place)
