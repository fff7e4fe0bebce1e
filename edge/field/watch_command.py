"""`tocsin watch`: the values of a running gateway on a full screen, the worst first."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge.alarm_desk import AlarmView
from edge.control.client import ask
from edge.control.place import Config, socket_of
from edge.devices import LastValue
from edge.field.picture import Gateway, Picture, picture
from edge.field.screen import coloured, lines, page_count
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import ControlError, UsageError

app = new_app("The values of a running gateway, the worst first.")
_DRAW_S = 0.25
_ALTERNATE, _NORMAL = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@app.command()
def watch(
    config: Config = None,
    once: Annotated[bool, typer.Option("--once", help="Print the values once and end.")] = False,
    every_s: Annotated[
        float, typer.Option("--every", min=0.2, max=3600, help="Seconds between two looks.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Every value with unit, age, quality and alarm: alarms first, then what is bad, stale, uncertain. q quits.

    With --json: one object per look, until Ctrl-C.
    """
    socket = socket_of(config)
    now = look(socket)
    if as_json:
        output.stream_line(now)
        while not once:
            time.sleep(every_s)
            output.stream_line(look(socket))
    elif once:
        width = shutil.get_terminal_size((120, 24)).columns
        for text in lines(now, width, len(now.rows) + 3)[:-1]:
            typer.echo(text.rstrip())
    elif not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("a screen needs a terminal", hint="--once or --json")
    else:
        with _screen():
            _show(socket, now, every_s)


def look(socket: Path) -> Picture:
    """The gateway as it is.

    Raises:
        ControlError: no agent answers.
    """
    gateway = msgspec.convert(ask(socket, "status"), Gateway)
    values = msgspec.convert(ask(socket, "values"), list[LastValue])
    alarms = msgspec.convert(ask(socket, "alarms"), list[AlarmView])
    return picture(gateway, values, alarms, time.time_ns())


def _show(socket: Path, now: Picture, every_s: float) -> None:
    page, note, looked_s = 0, "", time.monotonic()
    while True:
        width, height = shutil.get_terminal_size()
        if width < 40 or height < 5:
            _draw(["too small"])
        else:
            drawn = lines(_aged(now), width, height, page, note=note)
            _draw(coloured(now, drawn, height, page) if "NO_COLOR" not in os.environ else drawn)
        key = _key(_DRAW_S)
        if key in ("q", "\x1b"):
            return
        if key == " ":
            page = (page + 1) % page_count(now, height)
        if time.monotonic() - looked_s >= every_s:
            looked_s = time.monotonic()
            try:
                now, note = look(socket), ""
            except ControlError as exc:
                note = f"the agent does not answer; these values are old. {exc.message}"


def _aged(now: Picture) -> Picture:
    """The same values, some time later."""
    later_s = max(0.0, (time.time_ns() - now.time_ns) / 1e9)
    rows = [
        row if row.age_s is None else msgspec.structs.replace(row, age_s=row.age_s + later_s)
        for row in now.rows
    ]
    return msgspec.structs.replace(now, rows=rows)


def _draw(drawn: list[str]) -> None:
    sys.stdout.write("\x1b[H" + "\r\n".join(f"{text}\x1b[K" for text in drawn) + "\x1b[J")
    sys.stdout.flush()


def _key(wait_s: float) -> str:
    """A key that is pressed within the time, else nothing."""
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    if not readable:
        return ""
    pressed = os.read(sys.stdin.fileno(), 32).decode("utf-8", "replace")
    if pressed[:1] == "\x1b":
        return pressed if len(pressed) == 1 else ""  # an arrow or function key
    return "q" if "q" in pressed.lower() else pressed[-1:]


@contextmanager
def _screen() -> Iterator[None]:
    """The alternate screen, keys without Return; the terminal is as before afterwards."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        sys.stdout.write(_ALTERNATE)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        sys.stdout.write(_NORMAL)
        sys.stdout.flush()
