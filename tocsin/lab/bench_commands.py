"""`tocsin bench`: one command a bench."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app

bench_app = new_app("Measure this machine: sustained rates, CPU per reading, memory, latency.")


@bench_app.command()
def spine(
    seconds: Annotated[
        float, typer.Option(help="Length of each measurement.", min=3, max=3600)
    ] = 20.0,
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
    seconds: Annotated[
        float, typer.Option(help="Length of each measurement.", min=1, max=3600)
    ] = 20.0,
    broker: Annotated[Literal["auto", "mosquitto", "amqtt"], typer.Option(help="Broker.")] = "auto",
    as_json: Json = False,
) -> None:
    """From MQTT into the local store: messages of 100 readings, and of one stamp, as fast as they are committed."""
    from tocsin.lab.ingest import ingest_summary, run_ingest

    result = run_ingest(seconds=seconds, broker=broker, say=output.note)
    output.emit(result, as_json=as_json, human=ingest_summary(result))


@bench_app.command()
def gateway(
    seconds: Annotated[
        float, typer.Option(help="Length of each measurement.", min=2, max=3600)
    ] = 20.0,
    rate: Annotated[
        float,
        typer.Option(
            help="Messages a second that are offered in the first one.", min=1, max=10_000_000
        ),
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
        int, typer.Option(help="Rows to write, of 4 values each.", min=10_000, max=1_000_000_000)
    ] = 10_000_000,
    devices: Annotated[
        int, typer.Option(help="Devices they come from.", min=2, max=1_000_000)
    ] = 10_000,
    repeats: Annotated[
        int, typer.Option(help="How often each question is asked.", min=1, max=100_000)
    ] = 50,
    as_json: Json = False,
) -> None:
    """Write the local store full, ask the standard queries as a user does, and measure it on disk, hot and cold."""
    from tocsin.lab.store import run_store, store_summary

    result = run_store(rows=rows, devices=devices, repeats=repeats, say=output.note)
    output.emit(result, as_json=as_json, human=store_summary(result))


@bench_app.command()
def alarm(
    alarms: Annotated[
        int, typer.Option(help="Alarms, idle and again under load.", min=1, max=240)
    ] = 200,
    seconds: Annotated[
        float, typer.Option(help="In which they are raised.", min=1, max=3600)
    ] = 30.0,
    per_s: Annotated[
        float, typer.Option(help="Readings a second of the load.", min=100, max=10_000_000)
    ] = 30_000.0,
    broker: Annotated[Literal["auto", "mosquitto", "amqtt"], typer.Option(help="Broker.")] = "auto",
    as_json: Json = False,
) -> None:
    """How long an alarm takes from the device and from the sample to a page: idle, and under load."""
    from tocsin.lab.alarm import alarm_summary, run_alarm

    result = run_alarm(alarms=alarms, seconds=seconds, per_s=per_s, broker=broker, say=output.note)
    output.emit(result, as_json=as_json, human=alarm_summary(result))


@bench_app.command()
def wire(
    readings: Annotated[int, typer.Option(help="Readings in a batch.", min=4, max=1_000_000)] = 100,
    devices: Annotated[int, typer.Option(help="Devices they come from.", min=1, max=1_000_000)] = 5,
    seconds: Annotated[
        float, typer.Option(help="CPU time of each measurement.", min=0.01, max=3600)
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Bytes and microseconds a reading, beside SenML, Sparkplug B, ThingsBoard JSON and line protocol."""
    from tocsin.lab.wire import run_wire, wire_summary

    result = run_wire(readings=readings, devices=devices, seconds=seconds, say=output.note)
    output.emit(result, as_json=as_json, human=wire_summary(result))


@bench_app.command()
def drain(
    readings: Annotated[
        int,
        typer.Option(
            help="Backlog; 10,000,000 is the whole of an hour.", min=10_000, max=1_000_000_000
        ),
    ] = 10_000_000,
    broker: Annotated[Literal["auto", "mosquitto", "amqtt"], typer.Option(help="Broker.")] = "auto",
    as_json: Json = False,
) -> None:
    """A gateway drains the backlog of an outage while live readings go ahead of it."""
    from tocsin.lab.drain import drain_summary, run_drain

    result = run_drain(readings=readings, broker=broker, say=output.note)
    output.emit(result, as_json=as_json, human=drain_summary(result))


@bench_app.command()
def line(
    seconds: Annotated[
        float, typer.Option(help="Length of the measurement.", min=3, max=3600)
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """What a dead and a slow device do to the sample times of the others on their serial line."""
    from tocsin.lab.line import line_summary, run_line

    result = run_line(seconds=seconds, say=output.note)
    output.emit(result, as_json=as_json, human=line_summary(result))


@bench_app.command()
def drivers(
    seconds: Annotated[
        float, typer.Option(help="Length of the gateway's measurement.", min=3, max=3600)
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


@bench_app.command()
def lock(
    taps: Annotated[int, typer.Option(help="Openings of the lock.", min=1, max=2000)] = 120,
    approvals: Annotated[
        int, typer.Option(help="Permits that come into force, a lock each.", min=1, max=50)
    ] = 20,
    breaches: Annotated[
        int, typer.Option(help="Spaces to which gas comes, a siren each.", min=1, max=100)
    ] = 20,
    rounds: Annotated[
        int, typer.Option(help="Verifications of a grant.", min=10, max=10_000_000)
    ] = 10_000,
    broker: Annotated[Literal["auto", "mosquitto", "amqtt"], typer.Option(help="Broker.")] = "auto",
    as_json: Json = False,
) -> None:
    """How long a grant takes to verify, a smart lock to open, and gas to stop the work; needs dbus-daemon (Debian package dbus)."""
    from tocsin.lab.lock_bench import lock_summary, run_lock

    result = run_lock(
        taps=taps,
        approvals=approvals,
        breaches=breaches,
        rounds=rounds,
        broker=broker,
        say=output.note,
    )
    output.emit(result, as_json=as_json, human=lock_summary(result))


@bench_app.command()
def vision(
    model: Annotated[
        str, typer.Option(help="Model: a name under models/, or a folder.")
    ] = "smoke-fire",
    cameras: Annotated[int, typer.Option(help="Cameras.", min=2, max=64)] = 8,
    seconds: Annotated[
        float, typer.Option(help="Length of each measurement.", min=1, max=3600)
    ] = 5.0,
    rounds: Annotated[
        int,
        typer.Option(
            help="Rounds under overload, each between two of the bare graph; the middle share counts.",
            min=1,
            max=1000,
        ),
    ] = 7,
    as_json: Json = False,
) -> None:
    """Share of bare inference that the camera pipeline reaches, cameras a core, latency, memory; needs the extra vision."""
    from tocsin.lab.vision import run_vision, vision_summary

    result = run_vision(
        model=model, cameras=cameras, seconds=seconds, rounds=rounds, say=output.note
    )
    output.emit(result, as_json=as_json, human=vision_summary(result))


@bench_app.command()
def growth(
    seconds: Annotated[
        float, typer.Option(help="Length of each measurement.", min=2, max=3600)
    ] = 20.0,
    as_json: Json = False,
) -> None:
    """Each step of docs/growth.md with the same load; needs mosquitto, influxd and nats-server (Debian packages)."""
    from tocsin.lab.growth import growth_summary, run_growth

    result = run_growth(seconds=seconds, say=output.note)
    output.emit(result, as_json=as_json, human=growth_summary(result))
