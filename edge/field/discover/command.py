"""`tocsin discover serial|modbus|ble|camera`: what is connected, as a block for gateway.toml on stdout."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, cast, get_args

import msgspec
import typer

from edge.control.place import Config
from edge.ports import Parity
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import DriverReason, LinkError, UsageError

app = new_app("Find what is connected, and print it ready to paste into gateway.toml.")

COMMON_BAUDS = (9600, 19200, 4800, 2400, 38400, 115200)


@app.command()
def serial(
    named: Annotated[
        list[str] | None, typer.Argument(metavar="[PORT]...", help="Only these; default: all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List serial ports: adapter, lasting name, free or busy, and whether we may open them. Opens none. Exit code 5: there are none."""
    from edge.field.discover.serial_ports import ports, to_toml

    found = ports(named or ())
    if not found:
        raise LinkError(
            DriverReason.NO_PORT,
            "no serial port is there",
            hint="is the adapter plugged in? `dmesg | tail` shows what the kernel says of it",
        )
    output.emit({"ports": found}, as_json=as_json, human=lambda: typer.echo(to_toml(found)))


@app.command()
def modbus(
    target: Annotated[str, typer.Argument(metavar="PORT", help="A serial port, or HOST:PORT.")],
    units: Annotated[str, typer.Option("--units", help="Unit numbers: 1-32,100.")] = "1-32",
    baud: Annotated[
        list[int] | None,
        typer.Option(
            "--baud",
            help="Baud rate to try; repeat it. Default: 9600 19200 4800 2400 38400 115200.",
        ),
    ] = None,
    parity: Annotated[
        list[str] | None, typer.Option("--parity", help="N, E or O; repeat it. Default: N E.")
    ] = None,
    rtu_over_tcp: Annotated[
        bool, typer.Option("--rtu", help="HOST:PORT is a serial server that passes RTU through.")
    ] = False,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout", min=0.02, max=10, help="Seconds a unit may take; default 0.2, network 1."
        ),
    ] = None,
    limit_s: Annotated[
        float,
        typer.Option(
            "--limit", min=1, max=3600, help="The whole search ends after so many seconds."
        ),
    ] = 180.0,
    every_setting: Annotated[
        bool, typer.Option("--all", help="Go on with the other settings when one brought units.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Ask unit after unit, reading only: who answers, to what, as whom (function 43), and which shipped profile fits.

    Ends with the first baud rate and parity at which anyone answers. Exit code 5: nobody does, or an agent owns the port.
    """
    from edge.field.discover.modbus_block import to_toml
    from edge.field.discover.modbus_scan import Search, search
    from edge.field.discover.modbus_wire import Setting
    from edge.field.discover.ownership import refuse_if_owned

    network = re.fullmatch(r"[^/\s]+:\d{1,5}", target) is not None
    settings = (
        [Setting()]
        if network
        else [
            Setting(rate, kind)
            for rate in baud or COMMON_BAUDS
            for kind in map(_parity, parity or "NE")
        ]
    )
    refuse_if_owned(target, config)
    plan = Search(
        target=target,
        units=unit_numbers(units),
        settings=settings,
        rtu=not network or rtu_over_tcp,
        timeout_s=timeout_s or (1.0 if network else 0.2),
        limit_s=limit_s,
        every_setting=every_setting,
    )
    output.note(
        f"{len(plan.units)} units at {len(settings)} settings: at most {min(plan.longest_s, limit_s):.0f} s; nothing is written"
    )
    found = asyncio.run(search(plan, output.note))
    if not found.complete:
        output.note(f"ended after {found.seconds:g} s (--limit) before all was tried")
    if not found.units:
        more = (
            "; ".join(found.noise) or "check power and wiring (A and B swapped?), try --units 1-247"
        )
        raise LinkError(DriverReason.NO_ANSWER, f"nobody answers at {target}", hint=more)
    toml = to_toml(found, rtu_over_tcp=rtu_over_tcp)
    told = {**msgspec.structs.asdict(found), "toml": toml}
    output.emit(told, as_json=as_json, human=toml)


@app.command()
def ble(
    seconds: Annotated[
        float, typer.Option("--for", min=0.5, max=300, help="How long to listen, seconds.")
    ] = 5.0,
    as_json: Json = False,
) -> None:
    """List Bluetooth Low Energy devices that advertise, the strongest first. Connects to none. Exit code 5: nobody, or no adapter."""
    from edge.field.discover.bluetooth import listen, to_toml

    heard = asyncio.run(listen(seconds))
    if not heard:
        text = f"nobody advertised within {seconds:g} s"
        raise LinkError(DriverReason.NO_ANSWER, text, hint="go nearer, or listen longer: --for 30")
    output.emit({"devices": heard}, as_json=as_json, human=lambda: typer.echo(to_toml(heard)))


@app.command()
def camera(
    interface: Annotated[
        str | None,
        typer.Option(
            help="IPv4 address of the interface on whose network to search (one multicast)."
        ),
    ] = None,
    address: Annotated[
        list[str] | None, typer.Option(help="Ask only this camera, HOST or HOST:PORT; repeat it.")
    ] = None,
    seconds: Annotated[
        float, typer.Option("--for", min=0.2, max=60, help="How long to wait for answers, seconds.")
    ] = 3.0,
    as_json: Json = False,
) -> None:
    """List cameras of this machine and, where --interface or --address says so, ONVIF cameras that answer one search (WS-Discovery).

    Without either nothing is sent on any network. Exit code 5: there are none.
    """
    from edge.field.discover.cameras import search, to_toml, video_devices
    from edge.field.discover.ws_discovery import GROUP, PORT
    from tocsin.sdk.driver import driver_names

    video = video_devices()
    asked = interface is not None or bool(address)
    targets = [_host_and_port(text, PORT) for text in address or ()]
    if not asked:
        output.note(f"cameras on a network: --interface ADDRESS sends one search to {GROUP}:{PORT}")
    found = asyncio.run(search(targets, interface, seconds)) if asked else []
    if not video and not found:
        where = "here or there" if asked else "on this machine"
        raise LinkError(
            DriverReason.NO_ANSWER,
            f"no camera {where}",
            hint="is ONVIF discovery switched on in the camera, and is it on the same network?"
            if asked
            else "ip -4 address shows the addresses for --interface",
        )
    toml = to_toml(video, found, with_driver="onvif" in driver_names())
    told = {"video": video, "cameras": found}
    output.emit(told, as_json=as_json, human=lambda: typer.echo(toml))


def _host_and_port(text: str, port: int) -> tuple[str, int]:
    match = re.fullmatch(r"([^\s:]+)(?::(\d{1,5}))?", text)
    if match is None:
        raise UsageError(f"no address: {text!r}", hint="HOST or HOST:PORT")
    return match[1], int(match[2] or port)


def _parity(text: str) -> Parity:
    found = next((kind for kind in get_args(Parity) if kind == text.upper()), None)
    if found is None:
        raise UsageError(f"no such parity: {text}", hint="N, E or O")
    return cast("Parity", found)


def unit_numbers(text: str) -> list[int]:
    """`1-3,7` as numbers.

    Raises:
        UsageError: not of that form, or outside 1 to 255.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= low <= high <= 255:
            raise UsageError(
                f"no unit numbers: {part!r}", hint="like 1-32,100; 1 to 247, on TCP also 255"
            )
        found |= dict.fromkeys(range(low, high + 1))
    return list(found)
