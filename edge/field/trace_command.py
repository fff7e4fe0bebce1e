"""`tocsin trace DEVICE`: the frames on the wire, the last ones and those that come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge.control import client
from edge.control.place import Config, config_path, devices, socket_of
from edge.field.shown_frame import Reader, missed_line
from edge.frames import KEPT, Frame, Missed
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import DriverReason, LinkError

app = new_app("Show the frames of a device as they are on the wire.")
SILENCE_S = 30.0


@app.command()
def trace(
    name: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE",
            help="A device, or a driver for its whole line.",
            autocompletion=devices,
        ),
    ],
    last: Annotated[
        int, typer.Option("--last", "-n", min=0, help=f"Frames to show; {KEPT} are kept.")
    ] = KEPT,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new frames until Ctrl-C.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show the last frames of a device and, with --follow, each new one. With --json: one object a line.

    While an agent runs it is asked. Otherwise the port is opened for the time of this command and the next frames are shown;
    exit code 5 when there are none.
    """
    reader, began_ns = Reader(), time.time_ns()
    shown = 0
    for item in _items(config, name, last, follow=follow):
        shown += isinstance(item, Frame)
        if as_json:
            output.stream_line(item if isinstance(item, Missed) else reader.read(item))
        elif isinstance(item, Missed):
            typer.echo(missed_line(item))
        else:
            age_s = max(0.0, (began_ns - item.time_ns) / 1e9)
            typer.echo(reader.line(item, age_s=age_s, with_device=item.device != name))
    if not shown and last:
        raise LinkError(
            DriverReason.NO_ANSWER,
            "no frame was sent or received",
            device=name,
            hint=f"`tocsin test {name}` tries the device and says what is wrong",
        )


def _items(config: Path | None, name: str, last: int, *, follow: bool) -> Iterator[Frame | Missed]:
    socket = socket_of(config)
    if client.answers(socket):
        args = {"name": name, "last": str(last)} | ({"follow": "1"} if follow else {})
        for raw in client.follow(socket, "trace", args):
            yield msgspec.convert(raw, Missed) if "missed" in raw else msgspec.convert(raw, Frame)
        return
    from edge.config import load_right_sections
    from edge.field.alone import Trouble, owner, run_alone

    driver, devices = owner(load_right_sections(config_path(config)), name)
    output.note(f"no agent runs: opening the port of {driver.name} for now")
    left = last
    for item in run_alone(driver, devices, name, SILENCE_S):
        if isinstance(item, Frame | Missed):
            yield item
            left -= 1
            if left <= 0 and not follow:
                return
        elif isinstance(item, Trouble):
            output.note(f"{item.device}: {item.error}" + (f" ({item.hint})" if item.hint else ""))
