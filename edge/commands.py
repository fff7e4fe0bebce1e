"""`tocsin edge ...`: run an agent, look at its devices, operate a running one."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edge.control.client import ask, follow
from edge.control.place import Config, config_path, socket_of
from edge.layout_command import app as layout_app
from edge.orders.command_line import command
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.contract.quality import Quality

if TYPE_CHECKING:
    from edge.config import GatewayConfig
    from tocsin.sdk import Driver, ProbeLine

app = new_app("Run a gateway and operate a running one.")
alarms_app = new_app("Open alarms of a running gateway: list, acknowledge, reset.")
app.add_typer(alarms_app, name="alarms", invoke_without_command=True, no_args_is_help=False)
app.add_typer(layout_app, name="layout", invoke_without_command=True, no_args_is_help=False)
app.command("command")(command)

PROBE_TIMEOUT_S = 30.0
RELOAD_TIMEOUT_S = 60.0
DEVICE_FAILED, ALARM_ACTIVE = 5, 10

LogLevel = Literal["debug", "info", "warning", "error"]
Actor = Annotated[str, typer.Option("--actor", help="Who does it: the name in the journal.")]
Note = Annotated[str, typer.Option("--note", help="A remark for the journal.")]


@app.command()
def run(
    config: Config = None,
    as_json: Json = False,
    log_level: Annotated[LogLevel, typer.Option(help="debug, info, warning or error.")] = "info",
    strict: Annotated[
        bool, typer.Option("--strict", help="Do not start while anything in the file is wrong.")
    ] = False,
) -> None:
    """Acquire, judge, keep and send until SIGTERM or Ctrl-C; sections with mistakes are told and left out. With --json: one object at the end."""
    from edge.app import run_agent
    from edge.remote import Sources
    from tocsin.cli.logs import setup_logging

    path = config_path(config)
    setup_logging(log_level)
    sources, loaded = Sources.at_start(path, strict=strict)
    for text in loaded.warnings:
        output.note(f"{loaded.path}: warning: {text}")
    summary = asyncio.run(run_agent(sources, loaded))
    output.emit(
        summary,
        as_json=as_json,
        human=f"{summary.gateway}: {summary.readings} readings kept, "
        f"{summary.pending_rows} rows not yet with the cloud",
    )


@app.command()
def status(
    config: Config = None,
    every_s: Annotated[
        float | None,
        typer.Option(
            "--every", min=0.1, max=3600, help="Again every so many seconds, until Ctrl-C."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """The running agent: devices and which model looks at each camera, drivers, outbox, uplink."""
    while True:
        found = _asked(config, "status")
        output.emit(found, as_json=as_json, human=partial(_print_status, found))
        if every_s is None:
            return
        time.sleep(every_s)


@app.command()
def reload(
    config: Config = None,
    own: Annotated[
        bool, typer.Option("--own", help="Leave what the cloud sent, and take the own file again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Have the running agent take its gateway.toml as it is now; only what differs is touched."""
    args = {"own": "1"} if own else {}
    found: Any = ask(socket_of(config), "reload", args, timeout_s=RELOAD_TIMEOUT_S)
    output.emit(found, as_json=as_json, human=lambda: _print_reload(found))


@app.command()
def probe(config: Config = None, as_json: Json = False) -> None:
    """Touch every configured device once; one line each. Stop the agent first: a serial port has one owner."""
    from edge.config import load_gateway
    from edge.survey import offline_drivers

    loaded = load_gateway(config_path(config), files=False)
    lines = asyncio.run(_probe(loaded.value, offline_drivers(loaded.value)))
    width = max((len(line.device) for line in lines), default=0)
    human = "\n".join(
        f"{line.device:<{width}}  {'ok    ' if line.ok else 'FAILED'}  {line.text}"
        for line in lines
    )
    output.emit(lines, as_json=as_json, human=human or "no devices are configured")
    if not all(line.ok for line in lines):
        raise typer.Exit(DEVICE_FAILED)


async def _probe(config: GatewayConfig, drivers: list[Driver]) -> list[ProbeLine]:
    from tocsin.errors import TocsinError
    from tocsin.sdk import ProbeLine

    async def one(name: str, driver: Driver) -> list[ProbeLine]:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await driver.probe()
        except TocsinError as exc:
            text = exc.message
        except TimeoutError:
            text = f"no end after {PROBE_TIMEOUT_S:g} s"
        return [ProbeLine(spec.id, ok=False, text=text) for spec in driver.devices]

    names = [d.name for d in config.drivers]
    found = await asyncio.gather(*map(one, names, drivers))
    return [line for lines in found for line in lines]


@app.command()
def tail(
    config: Config = None,
    device: Annotated[str, typer.Option(help="Only this device.")] = "",
    as_json: Json = False,
) -> None:
    """Values as they are stored, until Ctrl-C. With --json: one object a line."""
    for value in follow(socket_of(config), "tail", {"device": device}):
        if as_json:
            output.stream_line(value)
        else:
            typer.echo(_value_line(value))


@app.command()
def values(config: Config = None, as_json: Json = False) -> None:
    """The last stored value of every quantity."""
    found = _asked(config, "values")
    output.emit(found, as_json=as_json, human="\n".join(map(_value_line, found)) or "none yet")


@app.command()
def metrics(config: Config = None, as_json: Json = False) -> None:
    """What the running agent counts and measures of itself, in the text format of Prometheus."""
    from msgspec import convert

    from edge.prometheus import Metric, text_of

    found = convert(_asked(config, "metrics"), list[Metric])
    output.emit(found, as_json=as_json, human=lambda: typer.echo(text_of(found), nl=False))


@alarms_app.callback()
def alarms(
    context: typer.Context,
    config: Config = None,
    as_json: Json = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 10 while an alarm is open.")
    ] = False,
) -> None:
    """List open alarms; `ack ID` and `reset ID` act on one."""
    if context.invoked_subcommand is not None:
        return
    found = _asked(config, "alarms")
    output.emit(found, as_json=as_json, human=lambda: _print_alarms(found))
    if exit_code and found:
        raise typer.Exit(ALARM_ACTIVE)


@alarms_app.command()
def ack(
    alarm: str, actor: Actor, note: Note = "", config: Config = None, as_json: Json = False
) -> None:
    """Acknowledge an alarm: someone has seen it."""
    _act("ack", alarm, actor, note, config, as_json=as_json)


@alarms_app.command()
def reset(
    alarm: str, actor: Actor, note: Note = "", config: Config = None, as_json: Json = False
) -> None:
    """End a latched alarm; refused while its value is beyond the limit, bad or unknown."""
    _act("reset", alarm, actor, note, config, as_json=as_json)


def _act(op: str, alarm: str, actor: str, note: str, config: Path | None, *, as_json: bool) -> None:
    found = _asked(config, op, alarm=alarm, actor=actor, note=note)
    human = f"{found['device']} {found['rule']}: {found['change']} by {actor}"
    output.emit(found, as_json=as_json, human=human)


def _asked(config: Path | None, op: str, **args: str) -> Any:
    return ask(socket_of(config), op, args)


def _print_status(found: dict[str, Any]) -> None:
    link = {True: "connected", False: "not connected", None: "none"}[found["connected"]]
    typer.echo(
        f"{found['gateway']} at {found['site']}: up {found['uptime_s']:.0f} s, uplink {link}, "
        f"{found['pending_rows']} rows wait for the cloud, {found['alarms']} open alarms"
    )
    if given_up := found["dropped_rows"]:
        output.note(f"warning: {given_up} rows were given up since the start: the outbox was full")
    remote = found["remote"]
    if remote.get("version"):
        by = f"version {remote['version']} from the cloud, {remote['state']}"
        typer.echo(
            f"configuration: {by} (by {remote.get('actor') or 'someone'}): {found['config']}"
        )
    for key in found["at_restart"]:
        output.note(f"warning: {key} counts only when the agent is started again")
    for part in found["left_out"]:
        for problem in part["problems"]:
            output.note(f"left out: {part['name']}: {problem}")
    heads = ["device", "kind", "state", "reads", "last error"]
    rows = [
        [d["id"], d["kind"], d["state"], str(d.get("reads", 0)), d.get("last_error", "")]
        for d in found["devices"]
    ]
    if looking := {seen["device"]: _model(seen) for seen in found.get("looking", [])}:
        heads.insert(-1, "model")
        for row in rows:
            row.insert(-1, looking.get(row[0], "-"))
    if rows:
        typer.echo(output.table(heads, rows))
    for driver in found["drivers"]:
        if driver["state"] not in ("running", "finished") or driver["restarts"]:
            typer.echo(f"driver {driver['name']}: {driver['state']}, {driver['restarts']} restarts")


def _model(seen: dict[str, Any]) -> str:
    return f"{seen['model']} {seen['version']}{', on trial' if seen['trial'] else ''}"


def _print_reload(found: dict[str, Any]) -> None:
    for part in found["sections"]:
        for word in ("added", "changed", "removed"):
            for name in part[word]:
                typer.echo(f"{word:<8} {part['section'].removesuffix('s')} {name}")
        if part["kept"]:
            typer.echo(f"kept     {part['kept']} {part['section']}")
    for name in found["restarted"]:
        typer.echo(f"driver {name} was run anew")
    if found["uplink_reconnected"]:
        typer.echo("the uplink connects anew")
    for alarm in found["alarms_without_rule"]:
        output.note(f"warning: alarm {alarm} is open and has no rule any more")
    for key in found["at_restart"]:
        output.note(f"warning: {key} counts only when the agent is started again")
    for text in found["warnings"]:
        output.note(f"{found['file']}: warning: {text}")


def _print_alarms(found: list[dict[str, Any]]) -> None:
    if not found:
        typer.echo("no open alarm")
        return
    rows = [
        [
            a["alarm"],
            a["device"],
            a["rule"],
            str(a["level"]),
            "beyond" if a["beyond"] else "returned",
            f"acknowledged by {a['actor']}" if a["acknowledged"] else "not acknowledged",
            _time(a["raised_ns"]),
        ]
        for a in found
    ]
    heads = ["alarm", "device", "rule", "level", "value", "state", "raised"]
    typer.echo(output.table(heads, rows))


def _value_line(value: dict[str, Any]) -> str:
    shown = "-" if value["value"] is None else str(value["value"])
    quality = f"  {_quality(value['q'])}" if value["q"] else ""
    time = _time(value["time_ns"])
    return f"{time}  {value['device']}  {value['quantity']} = {shown} {value['unit']}{quality}"


def _quality(code: int) -> str:
    return Quality(code).name.lower() if code in list(Quality) else str(code)


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds")
