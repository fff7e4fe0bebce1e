"""Opening a lock by a tap: its nonce comes through the gateway, the phone signs it, the lock decides. For js/phone.mjs."""

from __future__ import annotations

import asyncio
import base64

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from cloud.api.gate import Reader
from cloud.api.locks import Hex32, Hex64
from cloud.api.models import Body, Id
from cloud.api.orders import order_in_scope
from cloud.api.permit_calls import permit_in_scope
from cloud.api.persons import person_of
from cloud.api.rows import row_of, text
from cloud.api.services import services
from cloud.console.permit_words import PermitWords
from cloud.console.render import language, translator
from cloud.identity.rules import Principal
from cloud.permits.granting import Granted
from cloud.permits.ruling import refusal_told
from tocsin.errors import CommandRefusedError
from tocsin.grants.claims import holder_id
from tocsin.grants.grant import PROOF_UNLOCK
from tocsin.permits.outcomes import refused
from tocsin.permits.refusals import PermitRefusal

router = APIRouter(include_in_schema=False)
WITHIN_S = 20.0  # a lock drops a link on which nothing is sent for 15 s


class HolderBody(Body):
    """Which phone."""

    public: Hex32


class ProofBody(HolderBody):
    """What it signed."""

    nonce: str
    signature: Hex64


@router.post("/permits/{permit}/locks/{lock}/challenge")
async def challenge(
    request: Request, permit: Id, lock: Id, body: HolderBody, principal: Principal = Reader
) -> Response:
    """Ask the lock for its nonce; the answer names the command to wait for, and what the phone signs before and after the nonce."""
    site, found = await _grant(request, principal, permit, lock, body)
    if found is None:
        return _refused(request, lock)
    told = await _told(request, principal, site, lock, "challenge", {})
    after = found.lock + found.cti
    return JSONResponse(told | {"before": PROOF_UNLOCK.hex(), "after": after})


@router.post("/permits/{permit}/locks/{lock}/unlock")
async def unlock(
    request: Request, permit: Id, lock: Id, body: ProofBody, principal: Principal = Reader
) -> Response:
    """Hand grant and proof to the lock."""
    site, found = await _grant(request, principal, permit, lock, body)
    if found is None:
        return _refused(request, lock)
    grant = base64.urlsafe_b64encode(found.cose).decode().rstrip("=")
    args = {
        "nonce": body.nonce,
        "grant": grant,
        "holder": body.public,
        "signature": body.signature,
    }
    return JSONResponse(await _told(request, principal, site, lock, "unlock", args))


@router.get("/permits/{permit}/locks/{lock}/commands/{command}")
async def outcome(
    request: Request, permit: Id, lock: Id, command: Id, principal: Principal = Reader
) -> Response:
    """What became of a command so far."""
    row = await order_in_scope(services(request), principal, command)
    nonce = text(row_of(row.get("answer")), "nonce")
    ended = row.get("open") is not True
    return JSONResponse(
        {
            "ended": ended,
            "done": row.get("state") == "done",
            "text": text(row, "text"),
            "nonce": nonce,
        }
    )


async def _grant(
    request: Request, principal: Principal, permit: str, lock: str, body: BaseModel
) -> tuple[str, Granted | None]:
    parts, me = services(request), person_of(principal)
    row = await permit_in_scope(request, principal, permit)
    site = text(row, "site")
    public = bytes.fromhex(str(getattr(body, "public", "")))
    holder, now_ns = holder_id(public).hex(), parts.clock.now_ns()
    live = parts.permits.issued.live
    return site, await asyncio.to_thread(live, permit, site, lock, me.name, holder, now_ns)


async def _told(
    request: Request,
    principal: Principal,
    site: str,
    lock: str,
    name: str,
    args: dict[str, str],
) -> dict[str, str]:
    try:
        answer = await services(request).spine.call(
            "command_give",
            site=site,
            device=lock,
            name=name,
            args=args,
            actor=principal.name,
            expires_s=WITHIN_S,
        )
    except CommandRefusedError as error:
        return {"problem": error.message}
    return {"command": text(row_of(answer), "id")}


def _refused(request: Request, lock: str) -> Response:
    lang = language(request)
    told = refusal_told(refused(PermitRefusal.NO_LIVE_GRANT, lock=lock))
    sentence = PermitWords(translator(lang), lang).refusal(told).sentence
    return JSONResponse({"problem": sentence}, 409)
