"""A D-Bus daemon of our own, with nothing on it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from tocsin.broker.leash import spawn
from tocsin.errors import DriverReason, LinkError


def bus_program() -> str | None:
    """The path of dbus-daemon, if it is installed."""
    return shutil.which("dbus-daemon")


@contextlib.contextmanager
def private_bus() -> Iterator[str]:
    """The address of a running bus that knows neither the system's nor the session's; ended with the block.

    Raises:
        LinkError: dbus-daemon is not installed, or does not start.
    """
    program = bus_program()
    if program is None:
        raise LinkError(
            DriverReason.NO_PORT, "dbus-daemon is not installed", hint="apt-get install dbus"
        )
    command = [program, "--session", "--nofork", "--nopidfile", "--print-address"]
    with spawn(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            assert child.stdout is not None  # noqa: S101 - asked for
            address = child.stdout.readline().decode().strip()
            if not address:
                raise LinkError(DriverReason.NO_PORT, "dbus-daemon did not start")
            yield address
        finally:
            child.terminate()
            child.wait(5)
