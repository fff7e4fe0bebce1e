"""`tocsin check`: is this configuration file right?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.configs import load_any
from tocsin.errors import ConfigError, ConfigProblem

app = new_app(
    "Check configuration files: every mistake with file, line, key, value and what is allowed."
)


class Checked(msgspec.Struct, frozen=True):
    """One right file, as `--json` prints it."""

    file: str
    kind: str
    warnings: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """What `tocsin check --json` prints when every file is right."""

    ok: bool
    files: list[Checked]


@app.command()
def check(
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", help="Configuration file; may be given several times."),
    ] = None,
    files: Annotated[list[Path] | None, typer.Argument(help="More configuration files.")] = None,
    as_json: Json = False,
) -> None:
    """Check configuration files; exit code 3 when one is wrong."""
    paths = [*(config or ()), *(files or ())]
    if not paths:
        raise typer.BadParameter("name a file: tocsin check -c gateway.toml")
    checked: list[Checked] = []
    problems: list[ConfigProblem] = []
    for path in paths:
        try:
            kind, loaded = load_any(path)
        except ConfigError as exc:
            problems += exc.problems
        else:
            checked.append(Checked(str(path), kind, loaded.warnings))
    if problems:
        raise ConfigError(problems)
    human = "\n".join(
        "\n".join(
            [
                f"{item.file}: ok ({item.kind})",
                *(f"{item.file}: warning: {text}" for text in item.warnings),
            ]
        )
        for item in checked
    )
    output.emit(Report(ok=True, files=checked), as_json=as_json, human=human)
