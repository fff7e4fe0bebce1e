"""`tocsin plugins`: what is installed, from which distribution, and whether it loads."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Literal

import msgspec
import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.sdk.driver import load_driver
from tocsin.sdk.plugins import PluginError, PluginNeedsError, load_point

app = new_app("List the installed drivers, codecs, kinds of configuration and commands.")

GROUPS = {
    "driver": "tocsin.drivers",
    "codec": "tocsin.codecs",
    "config": "tocsin.configs",
    "command": "tocsin.commands",
}
BROKEN = 9


class Plugin(msgspec.Struct, frozen=True):
    """One installed entry point. `state` is `ok`, `needs-package` (its extra is not installed) or `broken`."""

    kind: str
    name: str
    distribution: str
    version: str
    module: str
    state: str
    error: str = ""
    hint: str = ""


@app.command()
def plugins(
    kind: Annotated[
        Literal["driver", "codec", "config", "command"] | None,
        typer.Option("--kind", help="Only these: driver, codec, config or command."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Load each one and say whether that works; exit code 9 when one is broken."""
    found = [look(k, point) for k, point in points(kind)]
    words = {"ok": "yes", "needs-package": "not installed", "broken": "NO"}
    heads = ["kind", "name", "distribution", "version", "loads"]
    rows = [[p.kind, p.name, p.distribution, p.version, words[p.state]] for p in found]
    lines = [output.table(heads, rows)]
    told = dict.fromkeys(
        f"\n{p.error}" + (f"\nhint: {p.hint}" if p.hint else "") for p in found if p.error
    )
    lines += told
    output.emit(found, as_json=as_json, human="\n".join(lines))
    if any(plugin.state == "broken" for plugin in found):
        raise typer.Exit(BROKEN)


def points(kind: str | None = None) -> Iterator[tuple[str, EntryPoint]]:
    """(kind, entry point) of everything installed, or of one kind, by name."""
    for name, group in GROUPS.items():
        if kind in (None, name):
            for point in sorted(entry_points(group=group), key=lambda p: p.name):
                yield name, point


def look(kind: str, point: EntryPoint) -> Plugin:
    """Load `point` and say what came of it."""
    state, error, hint = "ok", "", ""
    try:
        if kind == "driver":
            load_driver(point.name)
        else:
            load_point(point)
    except PluginError as exc:
        state = "needs-package" if isinstance(exc, PluginNeedsError) else "broken"
        error, hint = exc.message, exc.hint
    dist = point.dist
    return Plugin(
        kind=kind,
        name=point.name,
        distribution=dist.name if dist else "",
        version=dist.version if dist else "",
        module=point.value,
        state=state,
        error=error,
        hint=hint,
    )
