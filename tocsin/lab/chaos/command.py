"""`tocsin chaos`."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import UsageError
from tocsin.lab.chaos.faults import available
from tocsin.lab.chaos.site import MOST_MINUTES
from tocsin.lab.folders import given_folder, new_folder

NOT_PASSED = 9

app = new_app("Break everything at random under load, and count at the end that nothing was lost.")


@app.command()
def chaos(
    minutes: Annotated[
        float, typer.Option("--minutes", help="How long faults strike.", min=0.1, max=MOST_MINUTES)
    ] = 10.0,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="The same seed, the same faults; default: any.", min=0),
    ] = None,
    only: Annotated[
        str,
        typer.Option("--only", help="Only these faults, with commas between; `list` shows them."),
    ] = "",
    disks: Annotated[
        bool,
        typer.Option(
            "--disks",
            help="As root: small file systems in a mount namespace of our own, which are filled and made read-only.",
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder for everything it writes; default: a new one per run."),
    ] = None,
    broker: Annotated[
        Literal["auto", "mosquitto", "amqtt"],
        typer.Option(
            help="Between gateway and cloud: auto, mosquitto or amqtt. The devices' own is mosquitto."
        ),
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Devices, gateway, broker and cloud on this machine; kills, stalls, cuts, full disks and clock jumps; then a ledger against the devices' own.

    Ctrl-C ends the faults early and still counts. Exit code 9: something was lost, doubled or wrong, was not drained, ended without being
    killed, or too few faults landed while work was in flight.
    """
    if only == "list":
        names = available(disks=disks)
        output.emit({"faults": names}, as_json=as_json, human="\n".join(names))
        return
    names = wanted(only, disks=disks)
    if disks:
        from tocsin.lab.chaos.mounts import enter_own_mounts

        enter_own_mounts()
    from tocsin.lab.chaos.report import summary
    from tocsin.lab.chaos.run import Chaos

    folder = (new_folder("chaos") if data is None else given_folder(data)).resolve()
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    repeat = f"tocsin chaos --minutes {minutes:g} --seed {seed}" + (
        f" --only {only}" if only else ""
    )
    repeat += " --disks" if disks else ""
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, signal.default_int_handler)
    with Chaos(
        folder,
        seed=seed,
        seconds=minutes * 60,
        names=names,
        broker=broker,
        repeat=repeat,
        disks=disks,
    ) as run:
        output.note(f"seed {seed}; data: {folder}")
        run.start(lambda part: output.note(f"starting {part}"))
        try:
            run.play(output.note)
        except KeyboardInterrupt:
            output.note("no more faults")
        report = run.finish(output.note)
    output.emit(report, as_json=as_json, human=lambda: typer.echo(summary(report)))
    if not report.passed:
        raise typer.Exit(NOT_PASSED)


def wanted(text: str, *, disks: bool) -> list[str]:
    """The faults of `--only`; all that can be played when it is empty.

    Raises:
        UsageError: one that there is not.
    """
    from difflib import get_close_matches

    names = available(disks=disks)
    found = list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))
    for name in found:
        if name in available(disks=True) and name not in names:
            raise UsageError(f"{name} needs --disks", hint="run it as root with --disks")
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "`--only list` shows them"
            raise UsageError(f"there is no fault {name!r}", hint=hint)
    return found or names
