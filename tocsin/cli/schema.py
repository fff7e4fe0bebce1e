"""`tocsin schema`: the JSON Schema of a message or of a configuration file."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from tocsin.cli.apps import Json, new_app
from tocsin.cli.configs import kinds, model_of
from tocsin.cli.names import schemas
from tocsin.config import json_schema
from tocsin.contract.schemas import SCHEMAS, message_schema
from tocsin.errors import UsageError

app = new_app("Print the JSON Schema of a message or of a configuration file.")


@app.command()
def schema(
    name: Annotated[
        str,
        typer.Argument(
            help="Message or configuration kind; none lists them.", autocompletion=schemas
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Print one schema, or the names there are."""
    if not name:
        listing: dict[str, list[str]] = {"messages": list(SCHEMAS), "configs": sorted(kinds())}
        typer.echo(json.dumps(listing))
        return
    typer.echo(json.dumps(find(name), indent=2, ensure_ascii=False))


def find(name: str) -> dict[str, Any]:
    """The schema called `name`.

    Raises:
        UsageError: there is none.
    """
    if name in SCHEMAS:
        return message_schema(name)
    if name in kinds():
        return json_schema(model_of(name))
    known = [*SCHEMAS, *kinds()]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(known)
    raise UsageError(f"no schema is called {name!r}", hint=hint)
