"""The doors InfluxDB's own clients know: query by SQL (3.x), write by line protocol (2.x, 3.x), ping and health."""

from __future__ import annotations

import asyncio
import json
import zlib
from importlib.metadata import version
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from cloud.api.gate import allow
from cloud.api.rows import Row, row_of, rows_of, text, whole
from cloud.api.services import services
from cloud.identity.rules import Action, Principal
from cloud.query.formats import MEDIA, from_answer, render
from tocsin.errors import BadRequestError

router = APIRouter(tags=["influxdb"])
Analyst = Depends(allow(Action.QUERY))
Writer = Depends(allow(Action.WRITE))
Format = Literal["json", "jsonl", "csv", "parquet"]
MAX_HEADER = 60_000  # what clients take in one header
MAX_BODY_BYTES = 16 << 20
MAX_INFLATED_BYTES = 64 << 20
PRECISIONS = {
    "ns": "ns",
    "us": "us",
    "ms": "ms",
    "s": "s",
    "nanosecond": "ns",
    "microsecond": "us",
    "millisecond": "ms",
    "second": "s",
    "auto": "auto",
}


class SqlQuery(BaseModel):
    """A query, as InfluxDB 3 takes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    q: str = Field(min_length=1, max_length=100_000, description="One SELECT.")
    db: str = Field(default="tocsin", max_length=128, description="Taken for compatibility.")
    format: Format = Field(default="json", description="json, jsonl, csv or parquet.")
    params: dict[str, str | int | float | bool] = Field(
        default={}, max_length=0, description="Taken when empty; parameters are not supported."
    )
    max_rows: int | None = Field(default=None, ge=1, description="At most so many rows.")
    timeout_s: float | None = Field(default=None, gt=0, description="At most so long, seconds.")


@router.post("/api/v3/query_sql", response_class=Response)
async def query(request: Request, body: SqlQuery, principal: Principal = Analyst) -> Response:
    """Run one SELECT. `X-Tocsin-Columns` tells names and types; a result cut short carries `X-Tocsin-Truncated: true`."""
    return await _query(request, body)


@router.get("/api/v3/query_sql", response_class=Response)
async def query_by_address(
    request: Request, body: Annotated[SqlQuery, Query()], principal: Principal = Analyst
) -> Response:
    """The same, with the query in the address."""
    return await _query(request, body)


@router.post("/api/v3/query_influxql", response_class=Response)
async def query_influxql(
    request: Request, body: SqlQuery, principal: Principal = Analyst
) -> Response:
    """The same in InfluxQL, where the store is an InfluxDB; the embedded store refuses it."""
    return await _query(request, body, "influxql")


async def _query(request: Request, body: SqlQuery, language: str = "sql") -> Response:
    limits = {
        k: v
        for k, v in (("max_rows", body.max_rows), ("timeout_s", body.timeout_s))
        if v is not None
    }
    result = row_of(
        await services(request).spine.call("query", sql=body.q, language=language, **limits)
    )
    content = await asyncio.to_thread(render, from_answer(result), body.format)
    columns = json.dumps(result.get("columns"))
    headers = {"X-Tocsin-Columns": columns} if len(columns) < MAX_HEADER else {}
    if result.get("truncated"):
        headers["X-Tocsin-Truncated"] = "true"
    return Response(content, media_type=MEDIA[body.format], headers=headers)


@router.post("/api/v2/write", status_code=204, response_class=Response)
async def write_v2(
    request: Request,
    bucket: Annotated[str, Query(max_length=128)] = "tocsin",
    precision: Literal["ns", "us", "ms", "s"] = "ns",
    principal: Principal = Writer,
) -> Response:
    """Line protocol, as InfluxDB 2 takes it; `org` is ignored. Gzip is understood."""
    told = await _write(request, bucket, precision)
    if not (bad := rows_of(told.get("rejected"))):
        return Response(status_code=204)
    first = f"line {whole(bad[0], 'line')}: {text(bad[0], 'reason')}"
    message = f"partial write: {whole(told, 'written')} written, {len(bad)} rejected; {first}"
    problem = BadRequestError(message, hint="mend the lines named and send them again")
    return JSONResponse(
        {"code": "invalid", "message": message, "error": problem.as_dict()}, status_code=400
    )


@router.post("/api/v3/write_lp", status_code=204, response_class=Response)
async def write_v3(
    request: Request,
    db: Annotated[str, Query(max_length=128)] = "tocsin",
    precision: Literal[
        "auto", "nanosecond", "microsecond", "millisecond", "second", "ns", "us", "ms", "s"
    ] = "auto",
    principal: Principal = Writer,
) -> Response:
    """Line protocol, as InfluxDB 3 takes it. Good lines are kept when others are rejected."""
    told = await _write(request, db, PRECISIONS[precision])
    if not (bad := rows_of(told.get("rejected"))):
        return Response(status_code=204)
    lines = [
        {"error_message": text(b, "reason"), "line_number": whole(b, "line")} for b in bad[:100]
    ]
    return JSONResponse(
        {
            "error": {
                **BadRequestError("partial write of line protocol occurred").as_dict(),
                "written": whole(told, "written"),
            },
            "data": lines,
        },
        status_code=400,
    )


async def _write(request: Request, bucket: str, precision: str) -> Row:
    body = await _body(request)
    told = await services(request).spine.call(
        "write_lp", body=body, precision=precision, bucket=bucket
    )
    return row_of(told)


async def _body(request: Request) -> str:
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY_BYTES:
            raise BadRequestError(f"more than {MAX_BODY_BYTES} bytes; send smaller batches")
    data = bytes(raw)
    if request.headers.get("content-encoding", "").lower() == "gzip":
        data = await asyncio.to_thread(_inflate, data)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(f"the body is not UTF-8 at byte {error.start}") from error


def _inflate(data: bytes) -> bytes:
    engine = zlib.decompressobj(wbits=31)
    try:
        out = engine.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise BadRequestError(f"the body is not gzip: {error}") from error
    if engine.unconsumed_tail or not engine.eof:
        raise BadRequestError("the gzip body is cut off, or inflates to too much")
    return out


@router.get("/ping", status_code=204, response_class=Response)
def ping() -> Response:
    """As InfluxDB answers it."""
    return Response(status_code=204, headers={"X-Influxdb-Version": f"tocsin-{version('tocsin')}"})


@router.get("/health")
async def health(request: Request) -> dict[str, object]:
    """As InfluxDB 2 answers it: whether ingest and store answer, too."""
    await services(request).spine.call("counters", call_timeout_s=5.0)
    return {
        "name": "tocsin",
        "message": "ready for queries and writes",
        "status": "pass",
        "checks": [],
        "version": version("tocsin"),
        "commit": "",
    }
