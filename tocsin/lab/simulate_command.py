"""`tocsin simulate SCENARIO`."""

from __future__ import annotations

import signal
import sys
import time
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import UsageError
from tocsin.lab.folders import given_folder, new_folder
from tocsin.lab.reactions import DeviceSeen, Reaction
from tocsin.lab.scenarios import FAULTS, SCENARIOS, Plan, Scenario
from tocsin.lab.simulate import Simulation, SimulationReport

if TYPE_CHECKING:
    from rich.console import RenderableType

NOT_OK = 9

app = new_app("A virtual site read by a real gateway process, with faults to order.")


def _scenarios(incomplete: str) -> list[str]:
    return [name for name in SCENARIOS if name.startswith(incomplete)]


@app.command()
def simulate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[SCENARIO]",
            help="Scenario; none lists them with their faults.",
            autocompletion=_scenarios,
        ),
    ] = "",
    faults: Annotated[
        str,
        typer.Option(
            "--faults", help="Faults, with commas between; `all` for all of the scenario."
        ),
    ] = "",
    after_s: Annotated[
        float, typer.Option("--after", min=0, max=3600, help="Seconds until the faults begin.")
    ] = 5.0,
    for_s: Annotated[
        float | None,
        typer.Option(
            "--for", min=3, help="End by itself after so many seconds; default: until Ctrl-C."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder for everything it writes; default: a new one per run."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start virtual devices and a gateway, play faults, and tell what the gateway did about each.

    The gateway has no cloud: its readings stay in the folder's outbox. Exit code 9: a documented reaction was not seen, or a
    device without a fault was harmed.
    """
    if not name:
        found = [{"name": s.name, "text": s.text, "faults": s.victims} for s in SCENARIOS.values()]
        output.emit({"scenarios": found}, as_json=as_json, human=_listing())
        return
    scenario = find(name)
    folder = new_folder("simulate") if data is None else given_folder(data)
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, signal.default_int_handler)
    with Simulation(Plan(scenario, folder, wanted(scenario, faults), after_s)) as run:
        run.start(output.note)
        try:
            _watch(run, for_s, live=sys.stderr.isatty() and not as_json)
        except KeyboardInterrupt:
            if for_s is not None:
                raise
        report = run.finish()
    output.emit(report, as_json=as_json, human=_summary(report))
    if not report.ok:
        raise typer.Exit(NOT_OK)


def find(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        UsageError: there is none.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    near = get_close_matches(name, SCENARIOS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "there are: " + ", ".join(SCENARIOS)
    raise UsageError(f"no scenario is called {name!r}", hint=hint)


def wanted(scenario: Scenario, text: str) -> list[str]:
    """The faults of `--faults`, each once.

    Raises:
        UsageError: one that the scenario does not have.
    """
    if text == "all":
        return [fault for fault in FAULTS if fault in scenario.victims]
    found = list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))
    for fault in found:
        if fault not in scenario.victims:
            near = get_close_matches(fault, scenario.victims, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "it has " + ", ".join(scenario.victims)
            raise UsageError(f"{scenario.name} has no fault {fault!r}", hint=hint)
    return found


def _listing() -> str:
    lines = []
    for scenario in SCENARIOS.values():
        lines.append(f"{scenario.name}: {scenario.text}")
        lines += [
            f"  {fault} ({device}): {FAULTS[fault]}" for fault, device in scenario.victims.items()
        ]
    return "\n".join(lines)


def _watch(run: Simulation, for_s: float | None, *, live: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True, quiet=not live), auto_refresh=False) as screen:
        while for_s is None or run.seconds < for_s:
            run.children.check()
            screen.update(_picture(run, for_s), refresh=True)
            time.sleep(0.5 if for_s is None else max(0.0, min(0.5, for_s - run.seconds)))


def _picture(run: Simulation, for_s: float | None) -> RenderableType:
    from rich.table import Table

    devices, reactions = run.seen()
    end = "" if for_s is None else f" of {for_s:g}"
    table = Table(
        title=f"{run.plan.scenario.name}   {run.seconds:.0f}{end} s   faults after {run.plan.after_s:g} s"
    )
    for heading in ("device", "state", "samples", "flags", "fault", "reaction"):
        table.add_column(heading, justify="right" if heading == "samples" else "left")
    done = {r.device: r for r in reactions}
    for d in devices:
        told = done.get(d.id)
        style = "red" if d.state == "unavailable" else ""
        table.add_row(d.id, d.state, str(d.samples), _flags(d), d.fault, _told(told), style=style)
    return table


def _told(told: Reaction | None) -> str:
    return "" if told is None else f"{'seen' if told.seen else 'not yet'}: {told.evidence}"


def _flags(d: DeviceSeen) -> str:
    return ", ".join(f"{n} {name}" for name, n in d.flagged.items())


def _summary(report: SimulationReport) -> str:
    rows = [
        [
            d.id,
            d.fault or "-",
            d.state,
            str(d.samples),
            _flags(d) or "-",
            "-" if d.interval_p50_s is None else f"{d.interval_p50_s:g} s",
            "-" if d.deviation_p95 is None else f"{100 * d.deviation_p95:.1f} %",
        ]
        for d in report.devices
    ]
    heads = ["device", "fault", "state", "samples", "flags", "interval p50", "off period p95"]
    lines = [
        f"{report.scenario}, {report.seconds:g} s: {report.readings} readings kept",
        "",
        output.table(heads, rows),
        "",
    ]
    for r in report.reactions:
        lines += [
            f"{'ok    ' if r.seen else 'FAILED'}  {r.fault} at {r.device}: {r.documented}",
            f"        {r.evidence or 'nothing was seen'}",
        ]
    fine = report.others_unharmed
    lines.append(
        f"{'ok    ' if fine else 'FAILED'}  devices without a fault were read all along, every value good"
    )
    lines.append(f"logs, gateway.toml and outbox: {report.folder}")
    return "\n".join(lines)
