"""`tocsin lock-sim`: virtual locks in the air."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import UsageError

if TYPE_CHECKING:
    from firmware_bridges.lock.sim import Sim

app = new_app("Virtual smart locks, on a real Bluetooth controller or in an air of their own.")
_TICK_S = 1.0


@app.command()
def lock_sim(
    hci: Annotated[
        str | None,
        typer.Option(
            "--hci", help="Advertise one lock on this controller: usb:0 (needs tocsin[radio])."
        ),
    ] = None,
    air: Annotated[
        str | None,
        typer.Option(
            "--air",
            help="tcp-server:HOST:PORT: an air without a radio, and a controller in it for one gateway (hci = tcp-client:HOST:PORT).",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--locks", help="JSON list of locks: name, lock_id, k_lock, profile, issuers."
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", min=1, max=200, help="Without --locks: how many.")
    ] = 1,
    profile: Annotated[
        str, typer.Option("--profile", help="Without --locks: A (MAC only) or B (signatures).")
    ] = "B",
    seed: Annotated[
        str, typer.Option("--seed", help="Without --locks: what their keys follow from.")
    ] = "bench",
    issuer: Annotated[
        list[str] | None,
        typer.Option(
            "--issuer", help="Without --locks: KID:KEY, hex, whose grants they take; repeat it."
        ),
    ] = None,
    gateway: Annotated[
        str,
        typer.Option(
            "--gateway",
            help="Print what the gateway with this id (16 hex digits) must know, keys too.",
        ),
    ] = "",
    lease: Annotated[
        bool, typer.Option("--stdin-lease", help="End when standard input closes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Virtual locks that speak the protocol of docs/specs/lock.md. Without --hci and --air: on a private D-Bus, for unmodified bleak (--air where no dbus-daemon is installed).

    Reads lines from standard input: door NAME open, battery NAME 8, power NAME, state, ... Ends with Ctrl-C.
    """
    from firmware_bridges.lock import sim

    if hci is not None and air is not None:
        raise UsageError("give one of --hci, --air")
    if profile not in ("A", "B"):
        raise UsageError(f"no such profile: {profile}", hint="A or B")
    issuers = dict(_pair(text) for text in issuer or ())
    kind = cast("Literal['A', 'B']", profile)
    locks = sim.read_locks(file) if file else sim.made(count, kind, seed, issuers)
    if hci is not None and len(locks) != 1:
        raise UsageError("one controller carries one lock", hint="--count 1")
    told: dict[str, object] = {"locks": [lock.name for lock in locks]}
    if gateway:
        gateway_id = octets(gateway, 8, "--gateway")
        told["devices"] = [sim.commissioned(lock, gateway_id) for lock in locks]

    async def serve() -> None:
        locks_in_air = sim.Sim(locks)
        async with sim.carried(locks_in_air, hci=hci, air=air) as reach:
            output.stream_line({"ready": True, **told, **reach})
            await _until_told(locks_in_air, lease=lease)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


def _pair(text: str) -> tuple[str, str]:
    kid, _, key = text.partition(":")
    return octets(kid, 2, "--issuer KID:KEY").hex(), octets(key, 32, "--issuer KID:KEY").hex()


def octets(text: str, size: int, what: str) -> bytes:
    """`size` bytes from hex digits. Raises UsageError."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != size:
        raise UsageError(f"{what}: {2 * size} hex digits, not {text!r}")
    return found


async def _until_told(locks: Sim, *, lease: bool) -> None:
    """Lines of standard input happen to the locks; ends on SIGTERM, SIGINT, and with `lease` when the input closes."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    reading = asyncio.create_task(_read(locks, ended, lease=lease), name="lock-sim-lines")
    try:
        while not ended.is_set():
            for lock in locks.locks.values():
                lock.tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await ended.wait()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(locks: Sim, ended: asyncio.Event, *, lease: bool) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    except (OSError, ValueError):  # standard input is closed, or a file
        return
    while line := await reader.readline():
        try:
            for state in locks.tell(line.decode(errors="replace")):
                output.stream_line(state)
        except UsageError as exc:
            output.note(f"{exc.message} ({exc.hint})")
    if lease:
        ended.set()
