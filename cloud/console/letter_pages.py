"""The pages of what could not be stored: seen, explained, tried again. For those who look after the system."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from starlette.responses import HTMLResponse

from cloud.api.gate import allow
from cloud.api.rows import Row, row_of, rows_of, text, whole
from cloud.api.services import services
from cloud.console.raised import active_alarms
from cloud.console.render import page
from cloud.identity.rules import Action, Principal
from cloud.ingest.explain import explain

router = APIRouter(include_in_schema=False)
Ops = Depends(allow(Action.OPS))
SHOWN = 100
AT_ONCE = 20  # letters tried again in one call
TEXT_BYTES = 4096
Number = Annotated[int, Path(ge=0, lt=2**63)]
Word = Annotated[str, Query(max_length=128)]
FormWord = Annotated[str, Form(max_length=128)]


@router.get("/letters")
async def letters(
    request: Request, gateway: Word = "", reason: Word = "", principal: Principal = Ops
) -> HTMLResponse:
    """How many there are by gateway and reason, and the newest."""
    return await _list(request, principal, gateway, reason)


@router.get("/letters/{letter}")
async def letter(request: Request, letter: Number, principal: Principal = Ops) -> HTMLResponse:
    """One of them: what was found, what mends it, and its bytes."""
    parts = services(request)
    found = row_of(await parts.spine.call("deadletter", id=letter))
    payload = found.get("payload")
    shown = payload[:TEXT_BYTES] if isinstance(payload, bytes) else b""
    return page(
        request,
        "letter.html",
        {
            "letter": found,
            "told": explain(found),
            "is_whole": isinstance(payload, bytes)
            and len(payload) == whole(found, "payload_bytes"),
            "payload": shown.decode("utf-8", "backslashreplace"),
            "active": await active_alarms(parts, principal),
        },
    )


@router.post("/letters/requeue")
async def requeue(
    request: Request,
    gateway: FormWord = "",
    reason: FormWord = "",
    letter: Annotated[int | None, Form(ge=0, lt=2**63)] = None,
    principal: Principal = Ops,
) -> HTMLResponse:
    """Try one of them again, or all of a gateway and reason; what became of each."""
    spine = services(request).spine
    ids = [letter]
    if letter is None:
        found = await spine.call("deadletter_ids", gateway=gateway, reason=reason)
        ids = list(found)[:SHOWN] if isinstance(found, list) else []
    told: list[Row] = []
    for at in range(0, len(ids), AT_ONCE):
        told += rows_of(await spine.call("deadletter_requeue", ids=ids[at : at + AT_ONCE]))
    return await _list(request, principal, gateway, reason, told)


async def _list(
    request: Request,
    principal: Principal,
    gateway: str,
    reason: str,
    told: list[Row] | None = None,
) -> HTMLResponse:
    parts = services(request)
    counts, newest, active = await asyncio.gather(
        parts.spine.call("deadletter_counts"),
        parts.spine.call("deadletters", limit=SHOWN, gateway=gateway, reason=reason),
        active_alarms(parts, principal),
    )
    outcomes = Counter(text(one, "outcome") for one in told or ())
    return page(
        request,
        "letters.html",
        {
            "counts": rows_of(counts),
            "letters": rows_of(newest),
            "limit": SHOWN,
            "gateway": gateway,
            "reason": reason,
            "told": told,
            "stored": outcomes["stored"],
            "active": active,
        },
    )
