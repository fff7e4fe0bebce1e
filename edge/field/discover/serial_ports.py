"""The serial ports of this machine: what is plugged in, who has it, and whether we may open it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from edge.adapters import BY_ID
from tocsin.cli.output import printable


class Port(msgspec.Struct, frozen=True):
    """One port. `path` is the name to configure: the one under by-id where there is one.

    `state`: free, busy, no permission, absent. `owner` names the program that has it, as far as we may see.
    """

    path: str
    device: str
    state: str
    owner: str = ""
    usb: str = ""
    serial: str = ""
    title: str = ""


def ports(named: Iterable[str] = ()) -> list[Port]:
    """All ports, or the named ones. None is opened: that would toggle its control lines."""
    known = {info.device: info for info in list_ports.comports()}
    wanted = [os.path.realpath(name) for name in named] or sorted(known)
    return [_port(device, known.get(device)) for device in wanted]


def _port(device: str, info: ListPortInfo | None) -> Port:
    path = by_id(device) or device
    usb = f"{info.vid:04x}:{info.pid:04x}" if info is not None and info.vid is not None else ""
    title = " ".join(filter(None, (info.manufacturer, info.product))) if info is not None else ""
    serial = (info.serial_number or "") if info is not None else ""
    state, owner = _state(device)
    return Port(path, device, state, owner, usb, printable(serial), printable(title))


def by_id(device: str, folder: Path = BY_ID) -> str:
    """The lasting name of a port; empty where it has none."""
    try:
        links = sorted(folder.iterdir())
    except OSError:
        return ""
    return next((str(link) for link in links if os.path.realpath(link) == device), "")


def _state(device: str) -> tuple[str, str]:
    if not Path(device).exists():
        return "absent", ""
    if owner := next(_owners(device), ""):
        return "busy", owner
    if not os.access(device, os.R_OK | os.W_OK):
        return "no permission", ""
    return "free", ""


def _owners(device: str) -> Iterator[str]:
    """Programs that have the port open: all of them for root, else our own user's."""
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.path.realpath(fd) == device for fd in folder.iterdir()):
                name = (folder.parent / "comm").read_text("utf-8", "replace").strip()
                yield f"{name} (process {folder.parent.name})"
        except OSError:
            continue


def to_toml(found: list[Port]) -> str:
    """A block to paste, a comment before each port."""
    parts = []
    for port in found:
        told = ", ".join(
            filter(None, (port.title, port.usb, port.serial and f"serial {port.serial}"))
        )
        state = f"{port.state}: {port.owner}" if port.owner else port.state
        lines = [f"# {port.device}{f': {told}' if told else ''} ({state})"]
        if port.state == "no permission":
            lines.append(
                f"# may not be opened: sudo usermod -aG {_group(port.device)} $USER, then log in again"
            )
        if port.usb and port.path == port.device:
            lines.append(
                "# no name under /dev/serial/by-id: the number may change when it is plugged in again"
            )
        lines += [
            "[[drivers]]",
            'type = "modbus"    # or another that reads a serial port: tocsin sample DRIVER',
            f'name = "{Path(port.device).name.lower()}"',
            f'rtu = {{ port = "{port.path}", baudrate = 9600, parity = "N" }}',
            f"devices = []       # tocsin discover modbus {port.path}",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _group(device: str) -> str:
    try:
        return Path(device).group()
    except (OSError, KeyError):
        return "dialout"
