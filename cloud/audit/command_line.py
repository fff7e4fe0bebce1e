"""`tocsin audit`: whether everything a gateway took is stored, and if not, what is missing and why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit

app = new_app("Whether everything a gateway took is stored.")
INCOMPLETE = 9

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory of a running cloud; default the last one started."),
]
Url = Annotated[str | None, typer.Option("--url", help="Address of a cloud elsewhere.")]
Token = Annotated[
    str | None, typer.Option("--token", envvar="TOCSIN_TOKEN", help="API token for --url.")
]


@app.command()
def audit(
    gateway: Annotated[
        str | None,
        typer.Option("--gateway", "-g", help="One gateway, gap by gap; default all, a line each."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", help="From then: an ISO time (UTC unless it says), or -1h, -2d."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Up to then; the same forms.")] = None,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Whether everything is stored, or which numbers are missing and why. Exit code 0: complete; 9: not."""
    import msgspec

    from cloud.audit.report import GatewayReport, Verdict
    from cloud.audit.show import gateway_text, lines_table
    from cloud.remote import place_of
    from tocsin.cli.moments import moment_ns
    from tocsin.errors import UsageError

    now_ns = time.time_ns()
    from_ns = None if since is None else moment_ns(since, now_ns)
    to_ns = None if until is None else moment_ns(until, now_ns)
    if gateway == "":
        raise UsageError("which gateway?", hint="without --gateway all are told, a line each")
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        raise UsageError("--from must be before --to")
    place = place_of(data, url, token)
    if gateway is not None:
        row = place.audit(gateway, from_ns, to_ns)
        found = [msgspec.convert(row, GatewayReport)]
        emit(row, as_json=as_json, human=gateway_text(found[0], now_ns))
    else:
        rows = place.completeness(from_ns, to_ns)
        found = msgspec.convert(rows, list[GatewayReport])
        emit(rows, as_json=as_json, human=lines_table(found, now_ns))
    if any(one.verdict is not Verdict.COMPLETE for one in found):
        raise typer.Exit(INCOMPLETE)
