"""What cameras saw: detections, their pictures, and what people say of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import Field
from starlette.responses import Response

from cloud.api.gate import Reader, allow
from cloud.api.models import Body, Told
from cloud.api.rows import row_of, rows_of, text
from cloud.api.services import services
from cloud.identity.rules import Action, Principal
from cloud.vision.shelf import read_whole

router = APIRouter(prefix="/api/v1", tags=["vision"])
Operator = Depends(allow(Action.ALARMS))
Sha256 = Annotated[str, InPath(pattern="^[0-9a-f]{64}$")]


class ExhibitTold(Told):
    """A picture or clip. `state`: offered (its gateway has it), wanted, here, gone, wrong (never what its hash says), dropped."""

    sha256: str
    role: str
    media: str
    size: int
    t_ns: int
    state: str
    have: int


class ViewTold(ExhibitTold):
    """A small picture for the wall."""

    site: str
    gateway: str
    device: str


class DetectionTold(Told):
    """One thing that one camera saw. `box`: x, y, width, height as fractions of the picture; `told` is what its gateway said last. `ended_ns` where `told` is no end: since then its camera has nothing in view, or is no longer configured."""

    detection: str
    site: str
    gateway: str
    device: str
    label: str
    score: float
    box: list[float]
    confirmed_ns: int
    seen_ns: int
    ended_ns: int | None
    thumbnail: str
    verdict: str
    verdict_by: str
    note: str
    evidence: tuple[ExhibitTold, ...] = ()


class VerdictBody(Body):
    """What it was. The camera learns from it."""

    verdict: Literal["confirmed", "rejected"]
    note: str = Field(default="", max_length=2000)


@router.get("/detections")
async def detections(
    request: Request,
    device: str = "",
    verdict: Annotated[
        Literal["", "confirmed", "rejected"] | None, Query(description='"" are those nobody judged')
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    principal: Principal = Reader,
) -> list[DetectionTold]:
    """Detections, newest first, without their pictures."""
    answer = await services(request).spine.call(
        "detections", sites=sites_of(principal), device=device, verdict=verdict, limit=limit
    )
    return [DetectionTold.model_validate(r) for r in rows_of(answer)]


@router.get("/detections/{detection}")
async def detection(
    request: Request, detection: str, principal: Principal = Reader
) -> DetectionTold:
    """One detection, its pictures, and who looked at them."""
    spine = services(request).spine
    answer = await spine.call("detection", detection=detection, sites=sites_of(principal))
    return DetectionTold.model_validate(row_of(answer))


@router.post("/detections/{detection}/verdict")
async def judge(
    request: Request, detection: str, body: VerdictBody, principal: Principal = Operator
) -> DetectionTold:
    """Say what it was; the last word counts. `not_passed_on` says why its gateway cannot be told."""
    answer = await services(request).spine.call(
        "detection_judge",
        detection=detection,
        verdict=body.verdict,
        actor=principal.name,
        note=body.note,
        sites=sites_of(principal),
    )
    return DetectionTold.model_validate(row_of(answer))


@router.post("/evidence/{sha256}/fetch", status_code=202)
async def fetch(request: Request, sha256: Sha256, principal: Principal = Reader) -> ExhibitTold:
    """Have the gateway send a picture or clip that is still there."""
    spine = services(request).spine
    answer = await spine.call("evidence_want", sha256=sha256, sites=sites_of(principal))
    return ExhibitTold.model_validate(row_of(answer))


@router.get("/cameras/views")
async def views(request: Request, principal: Principal = Reader) -> list[ViewTold]:
    """The newest small picture of each camera, and when it was taken."""
    answer = await services(request).spine.call("camera_views", sites=sites_of(principal))
    return [ViewTold.model_validate(r) for r in rows_of(answer)]


@router.get("/evidence/{sha256}", response_class=FileResponse)
async def picture(request: Request, sha256: Sha256, principal: Principal = Reader) -> Response:
    """The picture or clip itself. Who looked is written down."""
    answer = await services(request).spine.call(
        "evidence_look", sha256=sha256, account=principal.name, sites=sites_of(principal)
    )
    row = row_of(answer)
    # not kept by the browser: whoever sits there next would see it without being asked or written down
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    path, media = Path(text(row, "path")), text(row, "media")
    if not media.startswith("image/"):
        return FileResponse(path, media_type=media, headers=headers)
    # whole, at once: a newer picture for the wall may take its place while it is sent
    return Response(await asyncio.to_thread(read_whole, path), media_type=media, headers=headers)


def sites_of(principal: Principal) -> list[str] | None:
    """Sites that the caller sees, as the spine wants them; None: all."""
    return None if principal.sites is None else sorted(principal.sites)
