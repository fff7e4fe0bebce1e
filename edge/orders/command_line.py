"""`tocsin edge command`: tell a device of a running gateway something, and wait for what comes of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edge.control.client import ask
from edge.control.place import Config, devices, socket_of
from tocsin.cli import output
from tocsin.cli.apps import Json
from tocsin.cli.pairs import exit_code, parse_pairs
from tocsin.contract.orders import Outcome, pack
from tocsin.errors import UsageError

_ANSWER_S = 300.0


def command(
    device: Annotated[
        str,
        typer.Argument(help="Device; none lists what each can be told.", autocompletion=devices),
    ] = "",
    name: Annotated[str, typer.Argument(help="Its command; none lists them.")] = "",
    arguments: Annotated[
        list[str] | None, typer.Argument(help="KEY=VALUE, as the command wants them.")
    ] = None,
    config: Config = None,
    actor: Annotated[
        str, typer.Option("--actor", help="Who does it: the name in the journal.")
    ] = "",
    confirm: Annotated[
        str, typer.Option("--confirm", help="Confirm the armed command with this code instead.")
    ] = "",
    within_s: Annotated[
        float,
        typer.Option("--within", min=0.1, max=3600, help="Sent within so many seconds, or never."),
    ] = 30.0,
    as_json: Json = False,
) -> None:
    """Tell a device something: a relay, a siren, a text. Without a name: what it can be told. Exit code 8: not sent; 5: failed or unknown."""
    socket = socket_of(config)
    if not confirm and not name:
        found: Any = ask(socket, "commands", {"device": device})
        output.emit(found, as_json=as_json, human=lambda: _print_commands(found))
        return
    if not actor.strip():
        raise UsageError("who are you?", hint="--actor NAME")
    limits = {"actor": actor, "within_s": str(within_s)}
    if confirm:
        if device:
            raise UsageError("--confirm CODE names the command already")
        request = ("confirm", {"code": confirm} | limits)
    else:
        own = {k: str(v) for k, v in pack(device, name, parse_pairs(arguments or [])).items()}
        request = ("command", own | limits)
    result: Any = ask(socket, *request, timeout_s=within_s + _ANSWER_S)
    outcome = Outcome(result["outcome"])
    output.emit(result, as_json=as_json, human=f"{outcome.value}: {result['text']}{_said(result)}")
    if code := exit_code(outcome):
        raise typer.Exit(code)


def _said(result: dict[str, Any]) -> str:
    answer = result.get("answer") or {}
    return "".join(f"\n  {key}: {value}" for key, value in answer.items())


def _print_commands(found: list[dict[str, Any]]) -> None:
    rows = [
        [
            entry["device"],
            c["name"],
            " ".join(map(_argument, c.get("arguments", []))),
            c.get("title", ""),
        ]
        for entry in found
        for c in entry["commands"]
    ]
    if rows:
        typer.echo(output.table(["device", "command", "arguments", "what it does"], rows))
    else:
        typer.echo("no device here tells of a command it takes")


def _argument(argument: dict[str, Any]) -> str:
    if choices := argument.get("choices"):
        value = "|".join(map(str, choices))
    else:
        low, high = argument.get("low"), argument.get("high")
        kind = argument.get("type", "number")
        bounds = "" if kind == "text" or (low is None and high is None) else f" {low}..{high}"
        value = f"<{kind}{bounds}{' ' + argument['unit'] if argument.get('unit') else ''}>"
    text = f"{argument['name']}={value}"
    return text if argument.get("required", True) else f"[{text}]"
