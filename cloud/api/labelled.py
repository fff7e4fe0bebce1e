"""What people judged of what cameras saw, taken out as labelled pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from cloud.api.detections import Operator, sites_of
from cloud.api.rows import Row, flag, row_of, rows_of, whole
from cloud.api.services import Services, services
from cloud.identity.rules import Principal
from cloud.vision.coco import LabelledZip
from cloud.vision.labelled import MAX_PICTURES
from tocsin.errors import BadRequestError

AT_ONCE = 16  # pictures that are asked for together
router = APIRouter(prefix="/api/v1", tags=["vision"])
Name = Annotated[str, Field(max_length=64)]


class Wanted(BaseModel):
    """Which detections; empty: every one of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    from_ns: int = Field(default=0, ge=0, description="Confirmed then or later.")
    to_ns: int = Field(default=2**63 - 1, ge=0, le=2**63 - 1, description="Confirmed before.")
    site: Name = ""
    device: Name = Field(default="", description="One camera.")
    label: list[Name] = Field(default=[], max_length=32, description="Only these classes.")
    spectrum: Literal["visible", "infrared", "thermal", "all"] = "visible"
    unjudged: bool = Field(default=False, description="Also what nobody judged, as regions that count neither way.")  # fmt: skip
    limit: int = Field(default=MAX_PICTURES, ge=1, le=MAX_PICTURES, description="Pictures at most, the newest.")  # fmt: skip


@router.get(
    "/detections/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}},
)
async def export(
    request: Request, wanted: Annotated[Wanted, Query()], principal: Principal = Operator
) -> StreamingResponse:
    """A zip of the pictures that people judged, as they are kept: `images/`, then `train.json` and an empty `val.json` (COCO).

    A confirmed detection is a box; a picture whose detection was rejected has none. `X-Tocsin-Pictures` and `X-Tocsin-Bytes` say how much
    comes, `X-Tocsin-Truncated` that `limit` left some out. Each picture counts as looked at.
    """
    if wanted.from_ns >= wanted.to_ns:
        raise BadRequestError("from_ns must be before to_ns")
    parts, sites = services(request), sites_of(principal)
    choice = wanted.model_dump(exclude={"limit", "label"}) | {"labels": wanted.label}
    told = row_of(
        await parts.spine.call("labelled_plan", choice=choice, limit=wanted.limit, sites=sites)
    )
    named = told.get("pictures")
    pictures = [str(p) for p in named] if isinstance(named, list) else []
    headers = {
        "X-Tocsin-Pictures": str(len(pictures)),
        "X-Tocsin-Bytes": str(whole(told, "bytes")),
        "X-Tocsin-Truncated": str(flag(told, "truncated")).lower(),
        "Content-Disposition": 'attachment; filename="judged.zip"',
        "Cache-Control": "no-store",
    }
    flow = _zip(parts, pictures, principal.name, sites, _info(told, choice))
    return StreamingResponse(flow, media_type="application/zip", headers=headers)


def _info(told: Row, choice: dict[str, Any]) -> dict[str, object]:
    return {
        "description": "Detections as people judged them; pictures as Tocsin keeps them.",
        "chosen": choice,
        "detections": whole(told, "detections"),
        "truncated": flag(told, "truncated"),
    }


async def _zip(
    parts: Services, pictures: list[str], account: str, sites: list[str] | None, info: dict[str, object]
) -> AsyncGenerator[bytes, None]:  # fmt: skip
    made = LabelledZip()
    for start in range(0, len(pictures), AT_ONCE):
        some = pictures[start : start + AT_ONCE]
        answer = await parts.spine.call(
            "labelled_take", pictures=some, account=account, sites=sites
        )
        found = rows_of(answer)
        made.left_out["gone"] += len(some) - len(found)
        for row in found:
            yield await asyncio.to_thread(made.add, row)
    yield await asyncio.to_thread(made.end, info)
