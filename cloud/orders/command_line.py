"""`tocsin commands`: tell a device something through a running cloud, and see what came of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit, note, table
from tocsin.cli.pairs import exit_code, parse_pairs
from tocsin.errors import DriverError, NotFoundError, UsageError

if TYPE_CHECKING:
    from cloud.remote import Place, Row

app = new_app("Commands to devices: send, confirm, follow.")
LOOK_EVERY_S = 0.2

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
Expires = Annotated[
    float,
    typer.Option("--within", min=0.1, max=3600, help="Sent within so many seconds, or never."),
]
Wait = Annotated[
    float,
    typer.Option("--wait", min=0, max=3600, help="Wait so many seconds longer for the result."),
]


@app.command("send")
def send(
    device: str,
    name: str,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="KEY=VALUE, as the command wants them.")
    ] = None,
    site: Annotated[str, typer.Option("--site", help="Where it is; needed when not unique.")] = "",
    within_s: Expires = 30.0,
    wait_s: Wait = 15.0,
    actor: Actor = None,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Tell a device something and wait for what comes of it. Exit code 8: not sent; 5: failed, unknown or no word yet."""
    place = _place(data, url, token)
    args = parse_pairs(arguments or [])
    row = place.give(site or _site_of(place, device), device, name, args, actor, within_s)
    _follow(place, row, within_s + wait_s, as_json)


@app.command("confirm")
def confirm(
    command: Annotated[str, typer.Argument(help="The armed command, as `list` shows it.")],
    within_s: Expires = 30.0,
    wait_s: Wait = 15.0,
    actor: Actor = None,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """The second step of a command that waits for it. Exit codes as of `send`."""
    place = _place(data, url, token)
    _follow(place, place.confirm(command, actor, within_s), within_s + wait_s, as_json)


@app.command("list")
def list_commands(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Commands to devices, newest first."""
    rows = _place(data, url, token).commands(limit)
    emit(rows, as_json=as_json, human=command_table(rows))


def command_table(rows: list[Row]) -> str:
    """One line per command."""
    from cloud.alarms.show import utc

    if not rows:
        return "none"
    shown = [
        [
            str(row["id"]),
            utc(row["issued_ns"]),
            f"{row['site']}/{row['device']}",
            f"confirms {row['confirms']}" if row["confirms"] else _call(row),
            str(row["actor"]),
            str(row["state"]),
            str(row["text"]),
        ]
        for row in rows
    ]
    return table(["command", "given (UTC)", "device", "what", "by", "state", "told"], shown)


def _call(row: Row) -> str:
    args = row["args"]
    pairs = [f"{k}={v}" for k, v in args.items()] if isinstance(args, dict) else []
    return " ".join([str(row["name"]), *pairs])


def _follow(place: Place, row: Row, limit_s: float, as_json: bool) -> None:
    """Until it is finished or armed, as long as it can be expected."""
    end = time.monotonic() + limit_s
    while row["open"] and row["state"] != "armed" and time.monotonic() < end:
        time.sleep(LOOK_EVERY_S)
        row = place.command(str(row["id"]))
    state = str(row["state"])
    emit(row, as_json=as_json, human=f"{state}: {row['text'] or row['id']}")
    if not as_json and state == "armed":
        note(f"tocsin commands confirm {row['id']}")
    waits = bool(row["open"]) and state != "armed"
    if code := DriverError.exit_code if waits else exit_code(state):
        raise typer.Exit(code)


def _site_of(place: Place, device: str) -> str:
    sites = sorted({str(row["site"]) for row in place.devices() if row["device"] == device})
    if len(sites) > 1:
        raise UsageError(f"{device} is at {', '.join(sites)}", hint="--site SITE")
    if not sites:
        raise NotFoundError(f"there is no device {device!r}, or it is not at one of your sites")
    return sites[0]


def _place(data: Path | None, url: str | None, token: str | None) -> Place:
    from cloud.remote import place_of

    return place_of(data, url, token)
