"""Server-sent events: everything that changes within the caller's sites."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from cloud.api.gate import Reader, principal_of
from cloud.api.rows import row_of, rows_of, text, within
from cloud.api.services import Services, services
from cloud.identity.rules import Principal, sees
from tocsin.errors import IdentityError, TocsinError

HEARTBEAT_S = 5.0
RECHECK_S = 15.0  # how long a revoked session or token may still hear something
QUEUE_ITEMS = (
    64  # waiting events of one reader; when full, the spine's own bounded feed holds the rest
)

router = APIRouter(tags=["events"])


@router.get(
    "/api/v1/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def events(request: Request, principal: Principal = Reader) -> StreamingResponse:
    """Events `last`, `alarm`, `command`, `detection`, `device`, `gateway`, `permit`, `view` (a new picture for the wall; data: JSON), `hello` with the server's time, and heartbeats.

    After a `hello` read the state anew: what happened before it was not sent.
    """
    flow = _events(request, services(request), principal)
    return StreamingResponse(
        flow,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(
    request: Request, parts: Services, principal: Principal
) -> AsyncGenerator[bytes, None]:
    queue: asyncio.Queue[tuple[str, object] | None] = asyncio.Queue(QUEUE_ITEMS)
    source = cast("AsyncGenerator[object, None]", parts.events.stream("subscribe"))
    pump = asyncio.create_task(_pump(source, principal, queue), name="api.events.pump")
    loop = asyncio.get_running_loop()
    recheck = loop.time() + RECHECK_S
    try:
        yield b"retry: 2000\n\n"
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    item = await queue.get()
            except TimeoutError:
                item = ("heartbeat", {"now_ns": parts.clock.now_ns()})
            if item is None:
                return
            kind, body = item
            if kind == "hello":
                body = {"now_ns": parts.clock.now_ns()}
            yield f"event: {kind}\ndata: ".encode() + msgspec.json.encode(body) + b"\n\n"
            if loop.time() >= recheck:
                recheck = loop.time() + RECHECK_S
                try:
                    await asyncio.to_thread(principal_of, parts, request.headers)
                except IdentityError:
                    yield b"event: ended\ndata: {}\n\n"
                    return
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def _pump(
    source: AsyncGenerator[object, None],
    principal: Principal,
    queue: asyncio.Queue[tuple[str, object] | None],
) -> None:
    try:
        async with aclosing(source) as items:
            async for kind, body in _visible(items, principal):
                await queue.put((kind, body))
    except TocsinError as error:
        await queue.put(("trouble", error.as_dict()))
    await queue.put(None)


async def _visible(
    items: AsyncIterator[object], principal: Principal
) -> AsyncIterator[tuple[str, object]]:
    async for item in items:
        told = row_of(item)
        kind = text(told, "kind")
        if kind == "subscribed":
            yield "hello", {}
        elif kind == "last":
            if rows := within(principal, rows_of(told.get("rows"))):
                yield kind, rows
        elif kind in ("alarm", "command", "detection", "device", "gateway", "permit", "view"):
            body = row_of(told.get(kind))
            if sees(principal, text(body, "site")):
                yield kind, body
