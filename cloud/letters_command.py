"""`tocsin deadletters`: what could not be stored: seen, explained, tried again, dropped. By the socket of a running cloud."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit, note, printable, table
from tocsin.errors import UsageError

app = new_app("Messages and readings that could not be stored.")

AT_ONCE = 20  # letters tried again in one call
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory of a running cloud; default the last one started."),
]
Reason = Annotated[str, typer.Option("--reason", help="Only with this reason.")]
Gateway = Annotated[str, typer.Option("--gateway", help="Only of this gateway.")]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Only those that came since then: a time, or -1h, -2d."),
]
Letters = Annotated[list[int] | None, typer.Argument(help="Numbers of letters.")]
All = Annotated[bool, typer.Option("--all", help="Every letter.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_letters(
    reason: Reason = "",
    gateway: Gateway = "",
    since: Since = None,
    counts: Annotated[
        bool, typer.Option("--counts", help="How many by gateway and reason, instead of each.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """The newest first, each with its reason."""
    chosen = _chosen(reason, gateway, since)
    if counts:
        rows = _call(data, "deadletter_counts", **chosen)
        _show(rows, ("letters", "times", "gateway", "reason"), as_json)
        return
    rows = _call(data, "deadletters", limit=limit, **chosen)
    _show(rows, ("id", "n", "gateway", "reason", "device", "quantity", "detail"), as_json)
    if len(rows) == limit and not as_json:
        note(f"the newest {limit}; more with --limit, all together with --counts")


@app.command("show")
def show_letter(letter: int, data: Data = None, as_json: Json = False) -> None:
    """One of them with its explanation and its bytes."""
    from cloud.ingest.explain import explain

    found = _call(data, "deadletter", id=letter)
    told = explain(found)
    payload: bytes = found.pop("payload")
    lines = [*_explained(told), "", *(f"{key}: {value}" for key, value in found.items())]
    text = payload[:4096].decode("utf-8", "backslashreplace")
    human = "\n".join([*map(printable, lines), "payload:", *map(printable, text.splitlines())])
    emit({**found, "explanation": told, "payload_hex": payload.hex()}, as_json=as_json, human=human)


@app.command("explain")
def explain_letter(letter: int, data: Data = None, as_json: Json = False) -> None:
    """What was found in one of them, the row and value in question, and what mends it."""
    from cloud.ingest.explain import explain

    told = explain(_call(data, "deadletter", id=letter))
    emit(told, as_json=as_json, human="\n".join(map(printable, _explained(told))))


@app.command("requeue")
def requeue_letters(
    letters: Letters = None,
    reason: Reason = "",
    gateway: Gateway = "",
    since: Since = None,
    every: All = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Try to store them again, after their cause was mended. Exit code 9 when not all could be stored."""
    ids = _ids(data, letters, _chosen(reason, gateway, since), every)
    told: list[dict[str, Any]] = []
    for some in _parts(ids):
        told += _call(data, "deadletter_requeue", ids=some)
        if len(ids) > AT_ONCE:
            note(f"{len(told)} of {len(ids)}")
    outcomes = Counter(str(one["outcome"]) for one in told)
    rows = [
        [str(one["id"]), f"{_OUTCOMES[one['outcome']]} {one['reason']} {one['detail']}".strip()]
        for one in told
        if one["outcome"] != "stored"
    ]
    human = (
        table(["id", "not stored"], [[i, printable(why)] for i, why in rows]) + "\n" if rows else ""
    )
    human += f"{outcomes['stored']} of {len(told)} stored\n"
    emit({"letters": told, "stored": outcomes["stored"]}, as_json=as_json, human=human)
    if outcomes["stored"] < len(told):
        raise typer.Exit(9)


@app.command("drop")
def drop_letters(
    letters: Letters = None,
    reason: Reason = "",
    gateway: Gateway = "",
    since: Since = None,
    every: All = False,
    yes: Yes = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Forget them for ever; what they hold is lost. Exit code 9 when not all were there."""
    ids = _ids(data, letters, _chosen(reason, gateway, since), every)
    if ids and not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError("dropping is for ever", hint="say --yes")
        typer.confirm(f"drop {len(ids)} dead letters for ever?", abort=True, err=True)
    dropped = sum(_call(data, "deadletter_drop", ids=some) for some in _parts(ids))
    absent = len(ids) - dropped
    human = f"{dropped} dropped" + (f", {absent} were not there" if absent else "")
    emit({"dropped": dropped}, as_json=as_json, human=human)
    if absent:
        raise typer.Exit(9)


_OUTCOMES = {
    "refused": "refused again:",
    "waiting": "on its way, the store is away",
    "busy": "the cloud has no room for it now, or it is on its way already",
    "cut": "was too large to be kept whole",
    "unknown": "there is no such letter",
}


def _explained(told: Any) -> list[str]:
    lines = [f"found: {told.found}"]
    if told.line is not None:
        values = ", ".join(f"{name} {value!r}" for name, value in told.line["values"].items())
        lines.append(
            f"row:   {told.line['time']} {told.line['device']} ({told.line['measurement']}): {values}"
        )
    elif told.message is not None:
        lines.append("row:   " + ", ".join(f"{k} {v}" for k, v in told.message.items()))
    return [*lines, f"do:    {told.mend}"]


def _show(rows: list[dict[str, Any]], keys: Sequence[str], as_json: bool) -> None:
    shown = [[printable(str(row[key])) for key in keys] for row in rows]
    headings = ["times" if key == "n" else key for key in keys]
    emit(rows, as_json=as_json, human=table(headings, shown) if shown else "none\n")


def _chosen(reason: str, gateway: str, since: str | None) -> dict[str, Any]:
    from difflib import get_close_matches

    from tocsin.cli.moments import moment_ns
    from tocsin.errors import WireReason

    reasons = [one.value for one in WireReason]
    if reason and reason not in reasons:
        near = get_close_matches(reason, reasons, 1)
        hint = f"did you mean {near[0]}?" if near else ", ".join(reasons)
        raise UsageError(f"{reason!r} is no reason", hint=hint)
    since_ns = 0 if since is None else moment_ns(since, time.time_ns())
    return {"reason": reason, "gateway": gateway, "since_ns": since_ns}


def _ids(
    data: Path | None, letters: list[int] | None, chosen: dict[str, Any], every: bool
) -> list[int]:
    """The letters that are meant."""
    filtered = any(chosen.values())
    if bool(letters) + (filtered or every) != 1:
        raise UsageError(
            "which letters?", hint="their numbers, or --reason, --gateway, --since, or --all"
        )
    if letters:
        return list(dict.fromkeys(letters))
    found: list[int] = _call(data, "deadletter_ids", **chosen)
    return found


def _parts(ids: list[int]) -> Iterator[list[int]]:
    return (ids[i : i + AT_ONCE] for i in range(0, len(ids), AT_ONCE))


def _call(data: Path | None, op: str, **args: Any) -> Any:
    from cloud.remote import socket_of
    from cloud.rpc.client import call_once

    return call_once(socket_of(data), op, **args)
