"""`tocsin cloud` and `tocsin alarms`; `tocsin query` and `tocsin token` come from their rooms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloud.layout_command import app as layout_app
from tocsin.cli.apps import Json, new_app
from tocsin.cli.logs import setup_logging
from tocsin.cli.output import emit, note, table

if TYPE_CHECKING:
    from cloud.remote import Place

app = new_app("The cloud: broker, ingest, store, API and console.")
app.add_typer(layout_app, name="layout")
alarms_app = new_app("Alarms: see, acknowledge, reset.")

Config = Annotated[Path, typer.Option("--config", "-c", help="cloud.toml")]
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
Note = Annotated[str, typer.Option("--note", help="Why; kept in the journal.")]


@app.command("run")
def run_cloud(config: Config, as_json: Json = False) -> None:
    """Run the cloud until it is told to stop. With --json: one object with its addresses once it answers."""
    from cloud import app as cloud_app
    from cloud.config import load_cloud

    setup_logging()
    cloud_app.run(load_cloud(config).value, config, as_json=as_json)


@app.command("ingest")
def ingest(config: Config, as_json: Json = False) -> None:
    """Run an ingester beside the cloud: telemetry of its buckets into the same InfluxDB."""
    from cloud import beside
    from cloud.config import load_cloud

    setup_logging()
    beside.run_ingester(load_cloud(config).value, config, as_json=as_json)


@app.command("forward")
def forward(config: Config, as_json: Json = False) -> None:
    """Run a forwarder: telemetry from the broker into the log, from which ingesters take it."""
    from cloud import beside
    from cloud.config import load_cloud

    setup_logging()
    beside.run_forwarder(load_cloud(config).value, config, as_json=as_json)


@app.command("status")
def status(data: Data = None, as_json: Json = False) -> None:
    """What a running cloud counts."""
    counters = _place(data, None, None).counters()
    rows = [[name, str(value)] for name, value in sorted(counters.items())]
    emit(counters, as_json=as_json, human=table(["counter", "value"], rows))


@alarms_app.command("list")
def list_alarms(
    all_: Annotated[bool, typer.Option("--all", help="Ended ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Alarms, newest first."""
    from cloud.alarms.show import alarm_table

    rows = _place(data, url, token).alarms(active=not all_, limit=limit)
    emit(rows, as_json=as_json, human=alarm_table(rows))


@alarms_app.command("ack")
def acknowledge(
    alarm: str,
    actor: Actor = None,
    note_: Note = "",
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Say that someone has seen an alarm."""
    _act("ack", alarm, actor, note_, _place(data, url, token), as_json)


@alarms_app.command("reset")
def reset(
    alarm: str,
    actor: Actor = None,
    note_: Note = "",
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """End a latched alarm; refused while the value is beyond its limit."""
    _act("reset", alarm, actor, note_, _place(data, url, token), as_json)


@alarms_app.command("journal")
def journal(
    alarm: str, data: Data = None, url: Url = None, token: Token = None, as_json: Json = False
) -> None:
    """Every transition of one alarm, oldest first."""
    from cloud.alarms.show import journal_table

    rows = _place(data, url, token).journal(alarm)
    emit(rows, as_json=as_json, human=journal_table(rows))


def _act(verb: str, alarm: str, actor: str | None, why: str, place: Place, as_json: bool) -> None:
    from cloud.alarms.show import alarm_table

    told = place.act(verb, alarm, actor, why)
    emit(told, as_json=as_json, human=alarm_table([told]))
    if not as_json and told.get("pending"):
        note("asked of the gateway; it counts once the gateway confirms it")


def _place(data: Path | None, url: str | None, token: str | None) -> Place:
    from cloud.remote import place_of

    return place_of(data, url, token)


def __getattr__(name: str) -> typer.Typer:
    """Apps of other rooms, loaded when their command is called."""
    if name == "query_app":
        from cloud.query_command import app as query_app

        return query_app
    if name == "token_app":
        from importlib import import_module

        token_app: typer.Typer = import_module("cloud.identity.commands").token_app
        return token_app
    raise AttributeError(name)
