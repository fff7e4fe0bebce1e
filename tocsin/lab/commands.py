"""`tocsin demo`."""

from __future__ import annotations

import importlib.util
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import MissingExtraError, TocsinError, UsageError
from tocsin.lab.demo import Demo
from tocsin.lab.folders import given_folder, new_folder
from tocsin.lab.report import Report
from tocsin.lab.site import Site

demo_app = new_app(
    "One site, all in one, on this machine: devices, gateway, broker, cloud, console."
)


class DemoFoundFaultsError(TocsinError):
    """The demo's count is not clean; `examples` of its report say what was found."""

    code = "lab.not-clean"
    exit_code = 9


@demo_app.command()
def demo(
    for_s: Annotated[
        float | None,
        typer.Option(
            "--for", help="End by itself after so many seconds; default: until Ctrl-C.", min=3
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder for everything it writes; default: a new one per run."),
    ] = None,
    release_after: Annotated[
        float | None,
        typer.Option(
            help="Of the plant: seconds until the gas release at gas-02; default 15.", min=0
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port of the console; 0 is any free one.", min=0, max=65535)
    ] = 8080,
    broker: Annotated[
        Literal["auto", "mosquitto", "amqtt"], typer.Option(help="auto, mosquitto or amqtt.")
    ] = "auto",
    browser: Annotated[
        bool | None,
        typer.Option(
            help="Of the plant: open the console in a browser where there is a display; the default."
        ),
    ] = None,
    scene: Annotated[
        Literal["plant", "confined-space", "forest"],
        typer.Option(
            help="plant; confined-space: a day of permits, a smart lock and a siren, told step by step; forest: cameras that see a fire begin, and clouds."
        ),
    ] = "plant",
    as_json: Json = False,
) -> None:
    """Run the site, show it live, and count at the end that nothing was lost."""
    if scene != "plant" and (release_after is not None or browser is not None):
        option = "--release-after" if release_after is not None else "--browser"
        raise UsageError(f"{option} is of the scene plant", hint=f"leave it out with {scene}")
    folder = new_folder("demo") if data is None else given_folder(data)
    for end in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # a shell starts background jobs with SIGINT ignored
        signal.signal(end, signal.default_int_handler)
    if scene == "confined-space":
        _confined_space(folder, broker, for_s, port, as_json=as_json)
        return
    if scene == "forest":
        _forest(folder, broker, for_s, port, as_json=as_json)
        return
    site = Site() if release_after is None else Site(release_after_s=release_after)
    with Demo(folder, site, http_port=_free(port), broker=broker) as run:
        run.start(lambda part: output.note(f"starting {part}"))
        output.note(f"console: {run.console_url}   broker: {run.broker_kind}   data: {folder}")
        if run.first_admin_url:
            output.note(f"first account: {run.first_admin_url}")
            if browser is not False and sys.stderr.isatty() and not as_json:
                _open(run.first_admin_url)
        try:
            _watch(run, for_s, live=sys.stderr.isatty() and not as_json)
        except KeyboardInterrupt:
            if as_json and for_s is not None:
                raise
        output.note("stopping; comparing the devices' ledgers with the store")
        report = run.finish()
    output.emit(report, as_json=as_json, human=_summary(report))
    if not report.is_clean:
        raise typer.Exit(DemoFoundFaultsError.exit_code)


def _confined_space(
    folder: Path, broker: str, for_s: float | None, port: int, *, as_json: bool
) -> None:
    """Two permits, the second with the cloud cut off; then the site stays up for people, for `for_s`, or until Ctrl-C."""
    from tocsin.lab.confined.by_hand import ready, stay
    from tocsin.lab.confined.day import Day
    from tocsin.lab.confined.day import Site as ConfinedSite

    folder.mkdir(parents=True, exist_ok=True)
    with ConfinedSite(folder, broker, output.note, _free(port)) as site:
        output.note(f"console: {site.console_url}   the gateway's own page: {site.page_url}")
        for cut in (False, True):
            Day(site, cut=cut).run()
        output.emit(site.seen, as_json=as_json, human=site.seen.told())
        if as_json and for_s is None:
            return
        output.note(ready(site))
        stay(site, for_s)


def _forest(folder: Path, broker: str, for_s: float | None, port: int, *, as_json: bool) -> None:
    """All frames of four cameras, told as it happens; then the site stays up for `for_s`, or until Ctrl-C."""
    for module in ("cv2", "onnxruntime"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError("vision", module)
    from tocsin.lab.forest.site import Forest
    from tocsin.lab.forest.watch import watch

    forest = Forest()
    with Demo(folder, forest, http_port=_free(port), broker=broker) as run:
        run.start(lambda part: output.note(f"starting {part}"))
        output.note(f"console: {run.console_url}   data: {folder}")
        if run.first_admin_url:
            output.note(f"first account: {run.first_admin_url}")
        output.note(
            f"four cameras over one hill, {forest.frames} frames each, {forest.seconds:g} s"
        )
        told = watch(run, forest, output.note)
        output.emit(told, as_json=as_json, human=told.text())
        if not (as_json and for_s is None):
            _stay(for_s)
    if not told.as_it_should:
        raise typer.Exit(DemoFoundFaultsError.exit_code)


def _stay(for_s: float | None) -> None:
    try:
        time.sleep(for_s if for_s is not None else 1e6)
    except KeyboardInterrupt:
        output.note("stopping")


def _free(port: int) -> int:
    """`port` if nobody has it, else 0: the demo must start on any machine."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            output.note(f"port {port} is taken; the console takes a free one")
            return 0
    return port


def _open(url: str) -> None:
    import os
    import webbrowser

    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)


def _watch(run: Demo, for_s: float | None, *, live: bool) -> None:
    from tocsin.lab.live import LiveSummary

    end_s = None if for_s is None else run.started_s + for_s
    with LiveSummary(run, enabled=live) as summary:
        while end_s is None or time.monotonic() < end_s:
            run.children.check()
            summary.refresh(None if end_s is None else end_s - time.monotonic())
            time.sleep(0.5 if end_s is None else max(0.0, min(0.5, end_s - time.monotonic())))


def _summary(report: Report) -> str:
    lines = [
        f"{report.seconds:g} s on {report.broker}: {report.readings_acquired} readings acquired, "
        f"{report.readings_stored} stored, {report.suppressed_by_deadband} held back by the dead-band, "
        f"{report.uncommitted} still on the gateway",
        f"lost {report.lost}, doubled {report.duplicates}, wrong {report.wrong}; by the cloud's own account: {report.audit}",
        f"{report.alarms} alarm(s); on the console after p50 {report.alarm_latency_ms.p50} ms, "
        f"p99 {report.alarm_latency_ms.p99} ms (n={report.alarm_latency_ms.n}, poll period {report.poll_period_s:g} s)",
        "",
        output.table(
            ["device", "kind", "readings", "state"],
            [[d.id, d.kind, str(d.readings), d.state] for d in report.devices],
        ),
        "",
        'ask it:  tocsin query "SELECT device, max(h2s) FROM gas GROUP BY device"',
        *report.examples,
    ]
    return "\n".join(lines)
