"""`tocsin gateways model`: models for the cameras of gateways, sent and followed through a running cloud."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloud.gateway_options import LOOK_EVERY_S, NO_WORD, REFUSED, Actor, Data, Token, Url, place
from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit, table
from tocsin.errors import ModelError, ModelReason

if TYPE_CHECKING:
    from cloud.remote import Row

app = new_app("Models for the cameras of gateways: push, list.")


@app.command("push")
def push(
    gateway: str,
    folder: Annotated[Path, typer.Argument(help="Folder of the model: its model.toml and what that names.")],
    expires_s: Annotated[
        float,
        typer.Option("--expires", min=1, max=604_800, help="Taken within so many seconds, or never."),
    ] = 86_400.0,
    wait_s: Annotated[
        float,
        typer.Option("--wait", min=0, max=7200, help="Wait so many seconds for the gateway to use it."),
    ] = 0.0,
    actor: Actor = None,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Send a gateway a model. Exit code 8: refused, or left again; 6: no word of it within --wait."""
    toml, files = _read(folder)
    cloud = place(data, url, token)
    row = cloud.push_model(gateway, toml, files, actor, expires_s)
    end = time.monotonic() + wait_s
    while row["open"] and time.monotonic() < end:
        time.sleep(LOOK_EVERY_S)
        row = next(r for r in cloud.models(gateway, 100) if r["id"] == row["id"])
    text = f"{row['name']} {row['version']}: {row['state']}"
    emit(row, as_json=as_json, human=f"{text}: {row['text']}" if row["text"] else text)
    if row["open"]:
        code = NO_WORD if wait_s else 0
    else:
        code = 0 if row["state"] == "applied" else REFUSED
    if code:
        raise typer.Exit(code)


@app.command("list")
def list_models(
    gateway: str,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """What a gateway was sent, newest first, and what became of it."""
    rows = place(data, url, token).models(gateway, limit)
    emit(rows, as_json=as_json, human=_table(rows))


def _table(rows: list[Row]) -> str:
    from cloud.alarms.show import utc

    if not rows:
        return "none"
    names = ("name", "version", "state", "actor")
    shown = [[*(str(r[n]) for n in names), utc(r["issued_ns"]), str(r["text"])] for r in rows]
    return table(["model", "version", "state", "by", "sent (UTC)", "told"], shown)


def _read(folder: Path) -> tuple[str, dict[str, bytes]]:
    """(model.toml, the files that it names)."""
    path = folder / "model.toml"
    try:
        toml = path.read_text("utf-8")
        raw = tomllib.loads(toml)
        tables = [raw, raw["int8"]] if isinstance(raw.get("int8"), dict) else [raw]
        names = [str(t.get("file")) for t in tables]
        return toml, {name: (folder / name).read_bytes() for name in names}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ModelError(
            ModelReason.UNREADABLE,
            f"{path}: {exc}",
            hint=f"tocsin check -c {path}",
        ) from exc
