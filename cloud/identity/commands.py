"""`tocsin token`: works on the state database itself; who may read that file may make tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit, note, table
from tocsin.cli.paths import last_cloud_dir
from tocsin.errors import UsageError

if TYPE_CHECKING:
    from cloud.identity.tokens import Token, Tokens

token_app = new_app("API tokens: make, list, end.")
DAY_NS = 86_400_000_000_000
NAME_CHARACTERS = 128

Data = Annotated[
    Path | None, typer.Option("--data", help="The cloud's data_dir; default the last one started.")
]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="cloud.toml, when the state is in PostgreSQL.")
]


@token_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope", help="read, write, query, alarms, commands, registry or admin; repeat it."
        ),
    ],
    site: Annotated[
        list[str] | None,
        typer.Option("--site", help="Only this site; repeat it. Default: every site."),
    ] = None,
    days: Annotated[
        float | None, typer.Option("--days", min=0.001, max=3650, help="Lifetime; default no end.")
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a token. It is printed once, on stdout, and never again."""
    from cloud.identity.rules import Scope
    from tocsin.sdk.clock import SystemClock

    unknown = sorted(set(scope) - {s.value for s in Scope})
    if unknown:
        raise UsageError(
            f"no such scope: {', '.join(unknown)}",
            hint=f"one of {', '.join(s.value for s in Scope)}",
        )
    name = name.strip()
    if not 1 <= len(name) <= NAME_CHARACTERS or not name.isprintable():
        raise UsageError(
            "a token needs a name, so that its list can be read",
            hint=f"1 to {NAME_CHARACTERS} printable characters, such as grafana",
        )
    ends = None if days is None else SystemClock().now_ns() + int(days * DAY_NS)
    secret, token = _tokens(data, config).create(
        name,
        frozenset(Scope(s) for s in scope),
        sites=frozenset(site) if site else None,
        expires_ns=ends,
    )
    emit({**told(token), "token": secret}, as_json=as_json, human=secret)


@token_app.command("list")
def list_tokens(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Every token, without its secret."""
    found = [told(t) for t in _tokens(data, config).list()]
    columns = ["id", "name", "scopes", "sites", "state"]
    rows = [
        [*(_cell(t[c]) for c in columns), _day(t["expires_ns"]), _day(t["used_ns"])] for t in found
    ]
    heading = [*columns, "expires (UTC)", "last used (UTC)"]
    emit(found, as_json=as_json, human=table(heading, rows))


@token_app.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(help="Its id, as `tocsin token list` shows it.")],
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """End a token for good."""
    ended = _tokens(data, config).revoke(token)
    emit(told(ended), as_json=as_json, human=f"token {ended.id} ({ended.name}) is revoked")


def told(token: Token) -> dict[str, object]:
    """The documented object."""
    from tocsin.sdk.clock import SystemClock

    alive = token.alive(SystemClock().now_ns())
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "sites": None if token.sites is None else sorted(token.sites),
        "created_ns": token.created_ns,
        "expires_ns": token.expires_ns,
        "used_ns": token.used_ns,
        "revoked_ns": token.revoked_ns,
        "state": "alive" if alive else "revoked" if token.revoked_ns is not None else "expired",
    }


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "-" if value is None else str(value)


def _day(time_ns: object) -> str:
    if not isinstance(time_ns, int):
        return "-"
    return f"{datetime.fromtimestamp(time_ns // 10**9, UTC):%Y-%m-%d %H:%M}"


def _tokens(data: Path | None, config: Path | None) -> Tokens:
    from cloud.db import open_engine, upgrade
    from cloud.identity.tokens import Tokens
    from tocsin.sdk.clock import SystemClock

    if config is not None:
        from cloud.config import load_cloud

        place: str | Path = load_cloud(config).value.state_place
    else:
        if data is None:
            data = last_cloud_dir()
            if data is None:
                raise UsageError("which cloud?", hint="--data DIR, the cloud's data_dir")
            note(f"cloud in {data}")
        if not data.is_dir():
            raise UsageError(f"{data} is no folder", hint="--data DIR, the cloud's data_dir")
        place = data / "state.db"
    engine = open_engine(place)
    upgrade(engine)
    return Tokens(engine, SystemClock())
