"""What the drivers open: serial ports, connections, ports to listen on, files."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge.doctor.findings import Finding, fail, ok, warn
from edge.ports import cannot_open
from tocsin.errors import TocsinError
from tocsin.sdk import DriverConfig, Endpoint

CONNECT_TIMEOUT_S = 3.0
LISTEN_S = 2.0
BLUETOOTH = Path("/sys/class/bluetooth")


def look(drivers: Iterable[DriverConfig], *, agent_runs: bool) -> Iterator[Finding]:
    """Every driver's endpoints. A running agent has its ports open: they are only looked at."""
    for driver in drivers:
        for endpoint in driver.endpoints():
            yield from _one(driver.name, endpoint, agent_runs=agent_runs)


def _one(name: str, endpoint: Endpoint, *, agent_runs: bool) -> Iterator[Finding]:
    check = f"driver {name}"
    if endpoint.kind == "serial":
        yield from _serial(check, endpoint.address, agent_runs=agent_runs)
    elif endpoint.kind == "file":
        yield _file(check, Path(endpoint.address))
    elif endpoint.kind == "bluetooth":
        yield _bluetooth(check, endpoint.address)
    elif endpoint.kind == "connect":
        yield _connect(check, endpoint.address)
    elif not agent_runs:
        yield _listen(check, endpoint.address)


def _serial(check: str, port: str, *, agent_runs: bool) -> Iterator[Finding]:
    path = Path(port)
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        error = cannot_open(port, exc)
        yield fail(check, error.message, error.hint)
        return
    if not stat.S_ISCHR(mode):
        yield fail(check, f"{port} is no serial port", "ls -l /dev/serial/by-id")
        return
    if not os.access(path, os.R_OK | os.W_OK):
        text = f"{port} may not be opened by this user"
        yield fail(check, text, "usermod -a -G dialout USER, then log in again")
        return
    if not agent_runs:
        refusal = _try(path)
        if refusal is not None:
            yield fail(check, refusal, f"fuser -v {port} shows who has it")
            return
    if path.name.startswith(("ttyUSB", "ttyACM")):
        text = f"{port} may have another number after the next start"
        yield warn(check, text, "name it by /dev/serial/by-id/...: ls -l /dev/serial/by-id")
    else:
        yield ok(check, f"{port} can be opened")


def _try(path: Path) -> str | None:
    """Why it cannot be opened; it is not configured, and nothing is sent."""
    import fcntl

    try:
        opened = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as exc:
        return f"{path}: {exc.strerror}"
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return f"{path}: another program has it"
    finally:
        os.close(opened)
    return None


def _file(check: str, path: Path) -> Finding:
    if os.access(path, os.R_OK):
        return ok(check, f"{path} can be read")
    there = path.exists()
    text = f"{path} {'may not be read by this user' if there else 'is not there'}"
    return fail(check, text, f"chmod a+r {path}" if there else "mend the path in the configuration")


def _connect(check: str, address: str) -> Finding:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S):
            return ok(check, f"{address} takes connections")
    except (OSError, ValueError, OverflowError) as exc:
        why = "no answer" if isinstance(exc, TimeoutError) else str(exc)
        text = f"{address} cannot be reached: {why}"
        return fail(check, text, f"ping {host}; is the device on, and the port right?")


def _listen(check: str, address: str) -> Finding:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as exc:
            return fail(check, f"cannot listen on {address}: {exc.strerror}", "ss -ltnp")
    return ok(check, f"{address} is free to listen on")


def _bluetooth(check: str, adapter: str) -> Finding:
    """Listens for a moment, as the driver does; several programs may."""
    import asyncio

    from edge.field.discover.bluetooth import listen

    if adapter and BLUETOOTH.is_dir() and not (BLUETOOTH / adapter).exists():
        return fail(check, f"there is no Bluetooth adapter {adapter}", "ls /sys/class/bluetooth")
    try:
        heard = asyncio.run(listen(LISTEN_S))
    except TocsinError as exc:
        return fail(check, exc.message, exc.hint)
    locks = sum(bool(one.lock) for one in heard)
    return ok(check, f"Bluetooth hears {len(heard)} devices, {locks} of them locks")


def adapters() -> Iterator[Finding]:
    """Bluetooth, where the library for it is installed."""
    from importlib.util import find_spec

    if find_spec("bleak") is None:
        return
    found = sorted(p.name for p in BLUETOOTH.glob("hci*") if ":" not in p.name)
    if found:
        yield ok("bluetooth", f"adapters: {', '.join(found)}")
    else:
        yield warn("bluetooth", "there is no adapter", "plug one in; rfkill list; hciconfig -a")
