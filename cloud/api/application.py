"""Put the routes together."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from cloud.api import (
    alarms,
    asked_keys,
    completeness,
    detections,
    devices,
    errors,
    events,
    gateway_configs,
    gateway_models,
    influx,
    labelled,
    lock_orders,
    locks,
    operations,
    orders,
    people,
    permit_ledger,
    permits,
    registry,
    second_factor,
)
from cloud.api.gate import Gate, Reader
from cloud.api.services import Services
from cloud.identity.rules import Principal

ROOMS = (
    devices, alarms, labelled, detections, orders, gateway_configs, gateway_models, completeness, registry, people, second_factor, locks, lock_orders,
    asked_keys, permit_ledger, permits, operations, events, influx,
)  # fmt: skip


def include_routes(app: FastAPI) -> None:
    """Every described route."""
    for room in ROOMS:
        app.include_router(room.router)


def create_api(services: Services) -> FastAPI:
    """The application without pages; `cloud.console` adds them."""
    app = FastAPI(
        title="Tocsin",
        version="1",
        description="Devices, alarms and series of one cloud. Times are Unix nanoseconds UTC.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    include_routes(app)
    described = APIRouter()

    @described.get("/api/v1/openapi.json", include_in_schema=False)
    def openapi(principal: Principal = Reader) -> dict[str, object]:
        return app.openapi()

    app.include_router(described)
    errors.install(app)
    app.add_middleware(Gate, services=services)
    return app
