"""A virtual Modbus device as a process of its own: `python -m firmware_bridges.modbus.device --help`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from firmware_bridges.ledger import Ledger
from firmware_bridges.modbus.faults import Fault, parse_fault, parse_pairs
from firmware_bridges.modbus.image import RegisterImage
from firmware_bridges.modbus.line import Line
from firmware_bridges.modbus.ports import SerialPort, TcpPort
from firmware_bridges.modbus.profiles import load_profile
from firmware_bridges.modbus.signals import signals
from firmware_bridges.modbus.unit import VirtualUnit

EXAMPLES = """\
An RS-485 line with two gas heads, the second of which has a gas release after 15 s:
  python -m firmware_bridges.modbus.device --link /tmp/rs485 --ledger truth.ndjson \\
    --unit unit=1,device=gas-01,model=gas-head,profile=four-gas-head \\
    --unit unit=2,device=gas-02,model=gas-head,profile=four-gas-head,release_after_s=15,limit_h2s=15
"""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UnitConfig(_Model):
    """One unit of the line."""

    unit: int = Field(ge=1, le=255, description="Unit number.")
    device: str = Field(description="Name in the ledger.")
    model: Literal[
        "gas-head", "rain-gauge", "river-gauge", "power-meter", "counter", "actuator"
    ] = Field(description="What it measures; an actuator does what it is told.")
    profile: str = Field(description="Device profile: name or path.")
    seed: int | None = Field(default=None, description="Seed of its signals; default the unit.")
    release_after_s: float | None = Field(default=None, description="Start of a gas release.")
    limits: dict[str, float] = Field(default_factory=dict, description="Marked when crossed.")


class DeviceConfig(_Model):
    """One process: one port and its units."""

    tcp: str | None = Field(default=None, description="HOST:PORT; else a pseudo-terminal.")
    link: Path | None = Field(default=None, description="Symbolic link to the pseudo-terminal.")
    ledger: Path | None = Field(default=None, description="NDJSON file of the ground truth.")
    units: tuple[UnitConfig, ...] = Field(min_length=1, description="Units of the line.")
    faults: tuple[Fault, ...] = Field(default=(), description="Faults to play.")
    refresh_s: float = Field(default=0.05, gt=0, description="Period of measuring.")


def _unit(text: str) -> dict[str, object]:
    pairs: dict[str, object] = dict(parse_pairs(text))
    limits = {key[6:]: pairs.pop(key) for key in list(pairs) if key.startswith("limit_")}
    return {**pairs, "limits": limits} if limits else pairs


def parse_arguments(arguments: list[str]) -> tuple[DeviceConfig, bool]:
    """The configuration, and whether the process ends with its standard input."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.modbus.device",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", help="JSON text, or a JSON file")
    parser.add_argument("--tcp", help="listen on HOST:PORT instead of a pseudo-terminal")
    parser.add_argument("--link", help="symbolic link to the pseudo-terminal")
    parser.add_argument("--ledger", help="NDJSON file of the ground truth")
    parser.add_argument("--unit", action="append", default=[], help="unit=1,device=...,model=...")
    parser.add_argument(
        "--fault", action="append", default=[], help="unit=2,kind=half,from=5,for=3"
    )
    parser.add_argument("--release-after", type=float, help="seconds; for every gas head")
    parser.add_argument(
        "--stdin-lease",
        action="store_true",
        help="end when standard input closes; a line set UNIT QUANTITY VALUE there sets a value",
    )
    given = parser.parse_args(arguments)
    raw: dict[str, object] = {}
    if given.config:
        text = given.config
        raw = msgspec.json.decode(text if text.lstrip()[:1] == "{" else Path(text).read_bytes())
    for key in ("tcp", "link", "ledger"):
        if getattr(given, key) is not None:
            raw[key] = getattr(given, key)
    if given.unit:
        raw["units"] = [_unit(text) for text in given.unit]
    config = DeviceConfig.model_validate(raw)
    update: dict[str, object] = {
        "faults": (*config.faults, *(parse_fault(text) for text in given.fault))
    }
    if given.release_after is not None:
        update["units"] = tuple(
            unit.model_copy(update={"release_after_s": given.release_after})
            if unit.model == "gas-head"
            else unit
            for unit in config.units
        )
    return config.model_copy(update=update), given.stdin_lease


def build_line(config: DeviceConfig, ledger: Ledger) -> Line:
    """The units of a configuration, measuring."""
    units = {
        unit.unit: VirtualUnit(
            unit.device,
            RegisterImage(load_profile(unit.profile)),
            signals(
                unit.model, unit.unit if unit.seed is None else unit.seed, unit.release_after_s
            ),
            ledger,
            unit.limits,
        )
        for unit in config.units
    }
    line = Line(units, config.faults)
    line.refresh()
    return line


async def _refresh(line: Line, period_s: float) -> None:
    while True:
        line.refresh()
        await asyncio.sleep(period_s)


async def _lease(stopped: asyncio.Event, line: Line) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while told := await reader.readline():
        if wrong := happen(line, told.decode("utf-8", "replace")):
            sys.stderr.write(f"{wrong}\n")
    stopped.set()


def happen(line: Line, told: str) -> str:
    """Do `set UNIT QUANTITY VALUE` (`-`: measure it again). Returns what is wrong with the line, "" where nothing is."""
    words = told.split()
    if not words:
        return ""
    if len(words) != 4 or words[0] != "set":
        return f"{told.strip()!r}: say set UNIT QUANTITY VALUE, or - as VALUE"
    unit = line.units.get(int(words[1]) if words[1].isdecimal() else -1)
    if unit is None:
        return f"there is no unit {words[1]}"
    try:
        unit.image.value(words[2])
    except KeyError:
        return f"unit {words[1]} has no {words[2]}"
    if words[3] == "-":
        unit.held.pop(words[2], None)
        return ""
    try:
        unit.held[words[2]] = float(words[3])
    except ValueError:
        return f"{words[3]!r} is no number"
    return ""


async def serve(config: DeviceConfig, *, stdin_lease: bool = False) -> None:
    """Opens the port, says so on standard output, and answers until told to end."""
    ledger = Ledger(config.ledger)
    line = build_line(config, ledger)
    port: SerialPort | TcpPort
    if config.tcp is None:
        port = SerialPort(line, config.link)
    else:
        host, _, number = config.tcp.rpartition(":")
        port = TcpPort(line, host, int(number))
        await port.listen()
    stopped = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stopped.set)
    ready = {
        "ready": True,
        "device": config.units[0].device,
        "devices": [unit.device for unit in config.units],
        "port": port.address,
    }
    sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
    sys.stdout.flush()
    tasks = [
        asyncio.create_task(port.serve(), name="port"),
        asyncio.create_task(_refresh(line, config.refresh_s), name="measure"),
    ]
    if stdin_lease:
        tasks.append(asyncio.create_task(_lease(stopped, line), name="lease"))
    waiter = asyncio.create_task(stopped.wait(), name="stop")
    try:
        done, _ = await asyncio.wait([*tasks, waiter], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiter}:
            task.result()
        if stdin_lease and not stopped.is_set():
            await stopped.wait()
    finally:
        for task in (*tasks, waiter):
            task.cancel()
        await asyncio.gather(*tasks, waiter, return_exceptions=True)
        ledger.close()


def main() -> None:
    """Runs one device process."""
    config, stdin_lease = parse_arguments(sys.argv[1:])
    asyncio.run(serve(config, stdin_lease=stdin_lease))


if __name__ == "__main__":
    main()
