"""How rooms make their Typer app, so that all commands look and start alike."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the documented object as JSON.")]


def new_app(help_text: str) -> typer.Typer:
    """An app without completion, rich or traceback hooks: those cost start-up time and hide our exit codes."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
    )
