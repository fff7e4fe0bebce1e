"""Alarms: see, acknowledge, reset; the rules live in the spine."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from cloud.api.gate import Reader, allow
from cloud.api.models import AlarmBody, JournalEntry, Note
from cloud.api.rows import alarm_in_scope, row_of, rows_of, within
from cloud.api.services import services
from cloud.identity.rules import Action, Principal

router = APIRouter(prefix="/api/v1/alarms", tags=["alarms"])
Operator = Depends(allow(Action.ALARMS))


@router.get("")
async def alarms(
    request: Request,
    active: Annotated[bool, Query(description="false: ended ones too")] = True,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 500,
    principal: Principal = Reader,
) -> list[AlarmBody]:
    """Alarms, newest first."""
    answer = await services(request).spine.call("alarms", active=active, limit=limit)
    return [AlarmBody.model_validate(r) for r in within(principal, rows_of(answer))]


@router.get("/{alarm}")
async def alarm(request: Request, alarm: str, principal: Principal = Reader) -> AlarmBody:
    """One alarm."""
    row = await alarm_in_scope(services(request).spine, principal, alarm)
    return AlarmBody.model_validate(row)


@router.get("/{alarm}/journal")
async def journal(
    request: Request, alarm: str, principal: Principal = Reader
) -> list[JournalEntry]:
    """Every transition of one alarm, oldest first: what, when, by whom, why."""
    spine = services(request).spine
    await alarm_in_scope(spine, principal, alarm)
    answer = await spine.call("alarm_journal", alarm=alarm)
    return [JournalEntry.model_validate(r) for r in rows_of(answer)]


@router.post("/{alarm}/ack")
async def acknowledge(
    request: Request, alarm: str, body: Note, principal: Principal = Operator
) -> AlarmBody:
    """Say that someone has seen it; with the caller's name and note in the journal."""
    return await _act(request, "alarm_ack", alarm, body, principal)


@router.post("/{alarm}/reset")
async def reset(
    request: Request, alarm: str, body: Note, principal: Principal = Operator
) -> AlarmBody:
    """End a latched alarm; refused (409) while the value is still beyond its limit."""
    return await _act(request, "alarm_reset", alarm, body, principal)


async def _act(
    request: Request, op: str, alarm: str, body: Note, principal: Principal
) -> AlarmBody:
    spine = services(request).spine
    before = await alarm_in_scope(spine, principal, alarm)
    after = row_of(await spine.call(op, alarm=alarm, actor=principal.name, note=body.note))
    return AlarmBody.model_validate({**before, **after})
