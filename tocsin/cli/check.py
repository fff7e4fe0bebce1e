"""`tocsin check`: is this configuration file right?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.configs import load_any
from tocsin.config import Setting, settings
from tocsin.config.types import HIDDEN
from tocsin.errors import ConfigError, ConfigProblem

app = new_app(
    "Check configuration files: every mistake with file, line, key, value and what is allowed."
)


class Checked(msgspec.Struct, frozen=True):
    """One right file, as `--json` prints it."""

    file: str
    kind: str
    warnings: tuple[str, ...] = ()
    settings: list[Setting] | msgspec.UnsetType = msgspec.UNSET  # with --show


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
    show: Annotated[
        bool,
        typer.Option(
            "--show", help="Print every setting that holds, its value and where it is from."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check configuration files; exit code 3 when one is wrong. Touches no device. Secrets print as ***."""
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
            held = list(settings(loaded)) if show else msgspec.UNSET
            checked.append(Checked(str(path), kind, loaded.warnings, held))
    if problems:
        raise ConfigError(problems)
    lines = [line for item in checked for line in _lines(item)]
    output.emit(Report(ok=True, files=checked), as_json=as_json, human="\n".join(lines))


def _lines(item: Checked) -> Iterator[str]:
    yield f"{item.file}: ok ({item.kind})"
    for text in item.warnings:
        yield f"{item.file}: warning: {text}"
    if isinstance(item.settings, list):
        for setting in item.settings:
            value = setting.value if setting.value == HIDDEN else output.to_json(setting.value)
            yield f"{setting.key} = {'none' if setting.value is None else value}  # {setting.told}"
