"""`tocsin conformance DRIVER`: does a driver keep its contract?"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.names import drivers
from tocsin.errors import UsageError

app = new_app("Run the rules of the driver contract against an installed driver.")
FAILED = 9


@app.command()
def conformance(
    driver: Annotated[str, typer.Argument(help="Installed driver.", autocompletion=drivers)],
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="Only this rule; may be given several times.")
    ] = None,
    as_json: Json = False,
) -> None:
    """One line a rule, ok or FAIL with what is wrong; exit code 9 when one fails. With --json: one object a line."""
    if not asyncio.run(_all(driver, rule, as_json)):
        raise typer.Exit(FAILED)


async def _all(driver: str, only: list[str] | None, as_json: bool) -> bool:
    from tocsin.testing.conformance import ALL, conform

    for name in only or ():
        if name not in ALL:
            raise UsageError(f"no rule is called {name!r}", hint="rules: " + ", ".join(ALL))
    right = True
    async for outcome in conform(driver, only or ALL):
        right = right and outcome.ok
        if as_json:
            output.stream_line(
                {
                    "rule": outcome.rule,
                    "says": outcome.says,
                    "ok": outcome.ok,
                    "problems": outcome.problems,
                }
            )
            continue
        typer.echo(f"{'ok  ' if outcome.ok else 'FAIL'}  {outcome.rule:<14}{outcome.says}")
        for problem in outcome.problems:
            typer.echo(f"      {problem}")
    return right
