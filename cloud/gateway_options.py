"""Options that the sub-commands of `tocsin gateways` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.errors import ControlError

if TYPE_CHECKING:
    from cloud.remote import Place

LOOK_EVERY_S = 0.2
REFUSED, NO_WORD = 8, ControlError.exit_code

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory of a running cloud; default the last one started."),
]
Url = Annotated[str | None, typer.Option("--url", help="Address of a cloud elsewhere.")]
Token = Annotated[
    str | None, typer.Option("--token", envvar="TOCSIN_TOKEN", help="API token for --url.")
]
Actor = Annotated[
    str | None, typer.Option("--actor", help="Your name, for the journal; default your login.")
]


def place(data: Path | None, url: str | None, token: str | None) -> Place:
    """The cloud that is meant."""
    from cloud.remote import place_of

    return place_of(data, url, token)
