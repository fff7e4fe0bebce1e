"""`tocsin gateways`: what gateways are configured with, sent and followed through a running cloud."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloud.gateway_options import LOOK_EVERY_S, NO_WORD, REFUSED, Actor, Data, Token, Url, place
from cloud.models.command_line import app as model_app
from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit, table
from tocsin.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from cloud.remote import Place, Row

app = new_app("Gateways of a running cloud.")
config_app = new_app("Configurations for gateways: push, list, show, withdraw.")
app.add_typer(config_app, name="config")
app.add_typer(model_app, name="model")
Wait = Annotated[
    float,
    typer.Option("--wait", min=0, max=7200, help="Wait so many seconds for the end of its trial."),
]


@config_app.command("push")
def push(
    gateway: str,
    file: Annotated[Path, typer.Argument(help="The whole gateway.toml, right for that gateway.")],
    version: Annotated[
        int | None,
        typer.Option(
            "--version", min=1, help="Default: one more than the last one this cloud sent."
        ),
    ] = None,
    expires_s: Annotated[
        float,
        typer.Option(
            "--expires", min=1, max=604_800, help="Taken within so many seconds, or never."
        ),
    ] = 86_400.0,
    wait_s: Wait = 0.0,
    actor: Actor = None,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Send a gateway its configuration. Exit code 8: refused or rolled back; 6: no end of it within --wait."""
    cloud = place(data, url, token)
    toml = sys.stdin.read() if str(file) == "-" else _text(file)
    row = cloud.push_config(gateway, toml, actor, version, expires_s)
    _follow(cloud, row, wait_s, as_json)


@config_app.command("withdraw")
def withdraw(
    gateway: str,
    wait_s: Wait = 0.0,
    actor: Actor = None,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Have a gateway take its own file again. Exit codes as of `push`."""
    cloud = place(data, url, token)
    row = cloud.push_config(gateway, "", actor, None, 86_400.0)
    _follow(cloud, row, wait_s, as_json)


@config_app.command("list")
def list_configs(
    gateway: str,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """What a gateway was sent, newest first, and what became of it."""
    rows = place(data, url, token).configs(gateway, limit)
    emit(rows, as_json=as_json, human=_table(rows))


@config_app.command("show")
def show(
    gateway: str,
    version: int,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """One version as it was sent."""
    row = place(data, url, token).config(gateway, version)
    emit(row, as_json=as_json, human=str(row["toml"]))


def _table(rows: list[Row]) -> str:
    from cloud.alarms.show import utc

    if not rows:
        return "none"
    names = ("version", "state", "actor")
    shown = [[*(str(r[n]) for n in names), utc(r["issued_ns"]), _told(r)] for r in rows]
    return table(["version", "state", "by", "sent (UTC)", "told"], shown)


def _told(row: Row) -> str:
    """What the gateway said of it, with the first mistake."""
    problems = row["problems"]
    first = problems[0] if isinstance(problems, list) and problems else None
    if not isinstance(first, dict):
        return str(row["text"])
    return f"{row['text']}: line {first.get('line')}: {first.get('key')}: {first.get('allowed')}"


def _follow(cloud: Place, row: Row, wait_s: float, as_json: bool) -> None:
    """Until it is confirmed or has failed, as long as is wished."""
    end = time.monotonic() + wait_s
    while row["open"] and time.monotonic() < end:
        time.sleep(LOOK_EVERY_S)
        row = cloud.config(str(row["gateway"]), int(str(row["version"])))
    row = {name: value for name, value in row.items() if name != "toml"}
    text = f"version {row['version']}: {row['state']}"
    emit(row, as_json=as_json, human=f"{text}: {_told(row)}" if row["text"] else text)
    if row["open"]:
        code = NO_WORD if wait_s else 0
    else:
        code = 0 if row["state"] in ("confirmed", "withdrawn") else REFUSED
    if code:
        raise typer.Exit(code)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        text = f"cannot be read: {exc}"
        problem = ConfigProblem(file=str(file), line=0, key="", value="", allowed=text)
        raise ConfigError([problem]) from exc
