"""Devices, last values, series, gateways."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, Request, Response

from cloud.api.gate import Reader, need_site
from cloud.api.models import DeviceBody, Gateway, LastColumns, LastValue, Series, device_body
from cloud.api.overview import DeviceView, device_views
from cloud.api.rows import row_of, rows_of, text, within
from cloud.api.services import Services, services
from cloud.identity.rules import Principal, sees
from tocsin.contract.catalogue import is_identifier
from tocsin.errors import BadRequestError, NotFoundError

LastField = Literal[
    "site", "device", "gateway", "measurement", "quantity", "unit", "value", "q", "time_ns", "received_ns", "known_ns"
]  # fmt: skip
router = APIRouter(prefix="/api/v1", tags=["devices"])
MAX_POINTS = 5_000
HOUR_NS = 3_600_000_000_000


async def views(parts: Services, principal: Principal) -> list[DeviceView]:
    """Every device the caller sees, worst first."""
    registry = await asyncio.to_thread(parts.registry.devices)
    states, last, alarms = await asyncio.gather(
        parts.spine.call("devices"),
        parts.spine.call("last"),
        parts.spine.call("alarms", active=True, limit=1000),
    )
    return device_views(
        [d for d in registry if sees(principal, d.site)],
        within(principal, rows_of(states)),
        within(principal, rows_of(last)),
        within(principal, rows_of(alarms)),
        parts.clock.now_ns(),
    )


async def view_of(parts: Services, principal: Principal, site: str, device: str) -> DeviceView:
    """One device the caller sees."""
    need_site(principal, site)
    for view in await views(parts, principal):
        if (view.site, view.device) == (site, device):
            return view
    raise NotFoundError(f"site {site!r} has no device {device!r}")


@router.get("/devices")
async def devices(request: Request, principal: Principal = Reader) -> list[DeviceBody]:
    """Every device with its last values and alarm state, worst first."""
    return [device_body(v) for v in await views(services(request), principal)]


@router.get("/devices/{site}/{device}")
async def device(
    request: Request, site: str, device: str, principal: Principal = Reader
) -> DeviceBody:
    """One device."""
    return device_body(await view_of(services(request), principal, site, device))


@router.get("/last", response_model=list[LastValue] | LastColumns)
async def last(
    request: Request,
    measurement: Annotated[str, Query(description="Only of this kind of device")] = "",
    quantity: Annotated[str, Query(description="Only this quantity")] = "",
    shape: Annotated[
        Literal["rows", "columns"],
        Query(description="`columns`: half the bytes, a quarter of the time to read"),
    ] = "rows",
    field: Annotated[
        list[LastField] | None,
        Query(description="Only these fields, as columns; name it once for each"),
    ] = None,
    principal: Principal = Reader,
) -> Response:
    """The last value of every quantity: an object each, or one object with a list for each field."""
    sites = None if principal.sites is None else sorted(principal.sites)
    answer = await services(request).spine.call(
        "last_json",
        sites=sites,
        measurement=measurement,
        quantity=quantity,
        columns=shape == "columns" or bool(field),
        fields=field or [],
    )
    return Response(cast("bytes", answer), media_type="application/json")


@router.get("/gateways")
async def gateways(request: Request, principal: Principal = Reader) -> list[Gateway]:
    """Every gateway with its last health message."""
    rows = within(principal, rows_of(await services(request).spine.call("gateways")))
    return [Gateway.model_validate(r) for r in rows]


@router.get("/series/{site}/{device}/{quantity}")
async def series(
    request: Request,
    site: str,
    device: str,
    quantity: str,
    from_ns: Annotated[int | None, Query(description="Start, Unix ns; default an hour ago")] = None,
    to_ns: Annotated[int | None, Query(description="End, Unix ns; default now")] = None,
    max_points: Annotated[int, Query(ge=2, le=MAX_POINTS)] = 1_000,
    principal: Principal = Reader,
) -> Series:
    """One quantity over time, thinned to at most `max_points`."""
    parts = services(request)
    view = await view_of(parts, principal, site, device)
    if not is_identifier(quantity):
        raise BadRequestError(f"{quantity!r} is no name of a quantity")
    now = parts.clock.now_ns()
    end = now if to_ns is None else to_ns
    start = end - HOUR_NS if from_ns is None else from_ns
    if not 0 <= start < end < 2**63:
        raise BadRequestError("from_ns must be before to_ns, both Unix nanoseconds")
    answer = row_of(
        await parts.spine.call(
            "series",
            measurement=view.kind,
            device=device,
            site=site,
            quantity=quantity,
            from_ns=start,
            to_ns=end,
            max_points=max_points,
        )
    )
    unit = next((v.unit for v in view.values if v.quantity == quantity), text(answer, "unit"))
    return Series.model_validate({"unit": unit, **answer})
