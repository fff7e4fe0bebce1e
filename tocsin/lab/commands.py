"""`tocsin demo` and `tocsin bench`."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import TocsinError
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
        float, typer.Option(help="Seconds until the gas release at gas-02.", min=0)
    ] = 15.0,
    port: Annotated[
        int, typer.Option(help="Port of the console; 0 is any free one.", min=0, max=65535)
    ] = 8080,
    broker: Annotated[
        Literal["auto", "mosquitto", "amqtt"], typer.Option(help="auto, mosquitto or amqtt.")
    ] = "auto",
    browser: Annotated[
        bool, typer.Option(help="Open the console in a browser where there is a display.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Run the site, show it live, and count at the end that nothing was lost."""
    folder = new_folder("demo") if data is None else given_folder(data)
    for end in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # a shell starts background jobs with SIGINT ignored
        signal.signal(end, signal.default_int_handler)
    with Demo(
        folder, Site(release_after_s=release_after), http_port=_free(port), broker=broker
    ) as run:
        run.start(lambda part: output.note(f"starting {part}"))
        output.note(f"console: {run.console_url}   broker: {run.broker_kind}   data: {folder}")
        if run.first_admin_url:
            output.note(f"first account: {run.first_admin_url}")
            if browser and sys.stderr.isatty() and not as_json:
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
        f"lost {report.lost}, doubled {report.duplicates}, wrong {report.wrong}",
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


bench_app = new_app("Measure this machine: sustained rates, CPU per reading, memory, latency.")


@bench_app.command()
def spine(
    seconds: Annotated[float, typer.Option(help="Length of each measurement.", min=3)] = 20.0,
    units: Annotated[
        int, typer.Option(help="Modbus units that are read, 40 registers each.", min=1, max=200)
    ] = 16,
    servers: Annotated[
        int, typer.Option(help="Server processes they are spread over.", min=1, max=8)
    ] = 2,
    broker: Annotated[Literal["auto", "mosquitto", "amqtt"], typer.Option(help="Broker.")] = "auto",
    as_json: Json = False,
) -> None:
    """From Modbus servers (or generated samples) through outbox, broker and ingest into the local store."""
    from tocsin.lab.bench import run_spine, spine_summary

    result = run_spine(
        seconds=seconds, units=units, servers=servers, broker=broker, say=output.note
    )
    output.emit(result, as_json=as_json, human=spine_summary(result))


@bench_app.command()
def ingest(
    seconds: Annotated[float, typer.Option(help="Length of each measurement.", min=1)] = 20.0,
    broker: Annotated[Literal["auto", "mosquitto", "amqtt"], typer.Option(help="Broker.")] = "auto",
    as_json: Json = False,
) -> None:
    """From MQTT into the local store: messages of 100 readings, and of one stamp, as fast as they are committed."""
    from tocsin.lab.ingest import ingest_summary, run_ingest

    result = run_ingest(seconds=seconds, broker=broker, say=output.note)
    output.emit(result, as_json=as_json, human=ingest_summary(result))


@bench_app.command()
def gateway(
    seconds: Annotated[float, typer.Option(help="Length of each measurement.", min=2)] = 20.0,
    rate: Annotated[
        float, typer.Option(help="Messages a second that are offered in the first one.", min=1)
    ] = 10_000.0,
    broker: Annotated[Literal["auto", "mosquitto", "amqtt"], typer.Option(help="Broker.")] = "auto",
    as_json: Json = False,
) -> None:
    """One gateway with devices that publish over MQTT: at an offered rate, then as many as it takes."""
    from tocsin.lab.gateway import gateway_summary, run_gateway

    result = run_gateway(seconds=seconds, per_s=rate, broker=broker, say=output.note)
    output.emit(result, as_json=as_json, human=gateway_summary(result))


@bench_app.command()
def store(
    rows: Annotated[
        int, typer.Option(help="Rows to write, of 4 values each.", min=10_000)
    ] = 10_000_000,
    devices: Annotated[int, typer.Option(help="Devices they come from.", min=2)] = 10_000,
    repeats: Annotated[int, typer.Option(help="How often each question is asked.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """Write the local store full, ask the standard queries as a user does, and measure it on disk, hot and cold."""
    from tocsin.lab.store import run_store, store_summary

    result = run_store(rows=rows, devices=devices, repeats=repeats, say=output.note)
    output.emit(result, as_json=as_json, human=store_summary(result))


@bench_app.command()
def line(
    seconds: Annotated[float, typer.Option(help="Length of the measurement.", min=3)] = 60.0,
    as_json: Json = False,
) -> None:
    """What a dead and a slow device do to the sample times of the others on their serial line."""
    from tocsin.lab.line import line_summary, run_line

    result = run_line(seconds=seconds, say=output.note)
    output.emit(result, as_json=as_json, human=line_summary(result))


@bench_app.command()
def drivers(
    seconds: Annotated[
        float, typer.Option(help="Length of the gateway's measurement.", min=3)
    ] = 30.0,
    devices: Annotated[
        int, typer.Option(help="Modbus TCP devices, a connection each.", min=1, max=2000)
    ] = 500,
    tags: Annotated[int, typer.Option(help="Registers of each device.", min=1, max=99)] = 30,
    servers: Annotated[
        int, typer.Option(help="Server processes they are spread over.", min=1, max=16)
    ] = 4,
    as_json: Json = False,
) -> None:
    """How fast each codec reads frames, and one gateway that polls many Modbus TCP devices once a second."""
    from tocsin.lab.drivers import drivers_summary, run_drivers

    result = run_drivers(
        seconds=seconds, devices=devices, tags=tags, servers=servers, say=output.note
    )
    output.emit(result, as_json=as_json, human=drivers_summary(result))
