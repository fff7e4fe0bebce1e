"""`tocsin test DEVICE`: does it answer, and with what? Decoded samples beside the frames they came in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from edge.config import load_right_sections
from edge.control import client
from edge.control.place import Config, config_path, devices, socket_of
from edge.devices import LastValue
from edge.field.alone import Trouble, Unacknowledged, owner, run_alone
from edge.field.picture import quality_name
from edge.field.shown_frame import Reader, missed_line
from edge.field.taken import Taken, Trial
from edge.frames import Frame, Missed, unknown_name
from edge.survey import survey
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import Channel, DriverConfig

app = new_app("Try a device: decoded samples beside the frames they came in.")
PERIODS, SPARE_S = 3, 10.0  # a sample may take so many periods, and a little
GIVE_UP_AFTER = 3  # failed reads in a row

_CHECK = "check power, wiring (A and B swapped?)"
_HINTS = {
    "modbus": f"{_CHECK}, unit_id, baudrate and parity; `tocsin discover modbus` looks for what answers",
    "dlt645": f"{_CHECK}, the meter's address, baudrate and parity (DL/T 645: 2400, even)",
}


class Tried(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sample as `--json` prints it. `raw` holds, per quantity, the number before scaling and its unit."""

    device: str
    sample: int
    time_ns: int
    values: list[LastValue]
    raw: dict[str, tuple[Any, str]] | None = None


class Result(msgspec.Struct, frozen=True):
    """The last line of `--json`."""

    device: str
    wanted: int
    answered: int
    through_agent: bool


@app.command("test")
def try_device(
    device: Annotated[
        str,
        typer.Argument(help="The device, as gateway.toml names it.", autocompletion=devices),
    ],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Samples to wait for.")] = 5,
    raw: Annotated[
        bool, typer.Option("--raw", help="Also the numbers as the device gave them, unscaled.")
    ] = False,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", min=0.1, help="Seconds to wait for one; default 3 periods + 10."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show the next samples of a device with their frames. Nothing is stored or sent on. With --json: one object a line.

    While an agent runs, its samples are shown; otherwise the port is opened for the time of this command. Exit code 0: every
    sample came; 5: one did not, with the reason and what to do.
    """
    path = config_path(config)
    loaded = load_right_sections(
        path
    )  # what is wrong elsewhere in the file keeps nobody from this device
    driver, devices = owner(loaded, device)
    found = survey(loaded)
    spec = next((s for s in found.devices if s.id == device), None)
    if spec is None:
        raise unknown_name(device, [s.id for s in found.devices])
    limit_s = timeout_s or (PERIODS * (spec.period_s or 0.0) + SPARE_S)
    socket = socket_of(path)
    agent = client.answers(socket)
    if agent:
        output.note(f"{device}: through the running agent ({driver.type} driver {driver.name})")
        items = _through_agent(socket, device, limit_s)
    else:
        output.note(f"{device}: opening the port of {driver.name} for now; no agent runs")
        items = run_alone(driver, devices, device, limit_s)
    watcher = _Watcher(Trial(spec, found.checks), Reader(), count, raw=raw, as_json=as_json)
    watcher.run(items, limit_s)
    if as_json:
        output.stream_line(Result(device, count, watcher.answered, agent))
    if watcher.answered < count and not watcher.unacknowledged:
        raise _why(device, driver, watcher, _last_error(socket, device) if agent else None)


def _through_agent(socket: Path, device: str, limit_s: float) -> Iterator[object]:
    for raw in client.follow(socket, "samples", {"device": device}, idle_s=limit_s):
        kind: type[object] = Frame if "hex" in raw else Taken if "values" in raw else Missed
        yield msgspec.convert(raw, kind)


def _last_error(socket: Path, device: str) -> str:
    found: Any = client.ask(socket, "devices")
    return next((str(d.get("last_error", "")) for d in found if d["id"] == device), "")


class _Watcher:
    """Prints what comes until there are enough samples, or clearly none will come."""

    def __init__(
        self, trial: Trial, reader: Reader, count: int, *, raw: bool, as_json: bool
    ) -> None:
        self._trial, self._reader = trial, reader
        self._count, self._raw, self._as_json = count, raw, as_json
        self.answered = self._failed = 0
        self.trouble: Trouble | None = None
        self.unacknowledged = False

    def run(self, items: Iterator[object], limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        for item in items:
            if isinstance(item, Frame | Missed):
                self._frame(item)
            elif isinstance(item, Trouble):
                self._failed += 1
                self.trouble = item
            elif isinstance(item, Unacknowledged):
                self.unacknowledged = self.answered > 0
            elif isinstance(item, Taken) and any(value is not None for value in item.values):
                self._sample(item)
                self._failed = 0
                deadline = time.monotonic() + limit_s
            over = self.unacknowledged or self._failed >= GIVE_UP_AFTER
            if over or self.answered == self._count or time.monotonic() > deadline:
                break
        if self.unacknowledged and self.answered < self._count:
            output.note("the device waits for an acknowledgement, which only the agent may give")

    def _frame(self, item: Frame | Missed) -> None:
        if self._as_json:
            output.stream_line(item if isinstance(item, Missed) else self._reader.read(item))
        else:
            shown = missed_line(item) if isinstance(item, Missed) else self._reader.line(item)
            typer.echo(shown)

    def _sample(self, item: Taken) -> None:
        self.answered += 1
        values = self._trial.judge(item)
        channels = self._trial.spec.channels
        given = {c.quantity: (v, c) for c, v in zip(channels, item.values, strict=True)}
        if self._as_json:
            raw = {q: (v, _raw_unit(c)) for q, (v, c) in given.items()} if self._raw else None
            output.stream_line(Tried(item.device, self.answered, item.ts_ns, values, raw))
            return
        rows = []
        for value in values:
            number, channel = given[value.quantity]
            row = [f"  {value.quantity}", _number(value.value), value.unit, quality_name(value.q)]
            rows.append([*row, f"raw {_number(number)} {_raw_unit(channel)}"] if self._raw else row)
        typer.echo(f"sample {self.answered} of {self._count}")
        if rows:
            headings = ["  quantity", "value", "unit", "quality", *(["raw"] if self._raw else [])]
            typer.echo(output.table(headings, rows))


def _raw_unit(channel: Channel) -> str:
    return channel.unit if (channel.scale, channel.offset) == (1.0, 0.0) else ""


def _number(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _why(device: str, driver: DriverConfig, watcher: _Watcher, told: str | None) -> LinkError:
    """What went wrong and what to do."""
    hint = _HINTS.get(driver.type, f"{_CHECK} and the settings of driver {driver.name}")
    trouble = watcher.trouble
    if trouble is not None:
        told = trouble.error
        reason = DriverReason(trouble.reason)
        if trouble.hint:
            hint = trouble.hint
        elif reason is not DriverReason.NO_ANSWER:
            hint = f"docs/reference/drivers/{driver.type}.md tells what {reason.value} means"
    else:
        reason = DriverReason.NO_ANSWER
    text = (told or "no answer").removeprefix(f"{device}: ")
    if watcher.answered:
        text = f"{watcher.answered} samples, then: {text}"
    return LinkError(reason, text, device=device, hint=hint)
