"""Serial adapters by their own names, so that a port keeps its adapter when the kernel numbers them anew."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from tocsin.errors import DriverReason, LinkError

BY_ID = Path("/dev/serial/by-id")

_log = logging.getLogger("edge.adapters")
_seen: dict[str, tuple[str, str]] = {}  # configured port: (name of its adapter, where it was last)


def find_adapter(port: str) -> str:
    """The path to open for `port`: where the adapter is now that it named when it was first opened.

    A port whose adapter was replaced takes the new one, unless that is the adapter of another port.

    Raises:
        LinkError: the adapter is gone, and the number of the port now belongs to another port's adapter.
    """
    name, last = _seen.get(port, ("", ""))
    if name and (BY_ID / name).exists():
        now = os.path.realpath(BY_ID / name)
        if now != last:
            _log.warning("%s: the adapter %s is %s now", port, name, now)
            _seen[port] = name, now
        return str(BY_ID / name)
    found = _name_of(port)
    if found and name and any(n == found for p, (n, _) in _seen.items() if p != port):
        raise LinkError(
            DriverReason.NO_PORT,
            f"{port}: its adapter {name} is gone, and the number belongs to {found} now",
            hint=f"is it plugged in? {BY_ID}/{name} names it whatever its number",
        )
    if found:
        _seen[port] = found, os.path.realpath(port)
    return port


def _name_of(port: str) -> str:
    """The name under /dev/serial/by-id of what `port` is now; empty where it has none."""
    try:
        here = os.path.realpath(port, strict=True)
        links = sorted(BY_ID.iterdir())
    except OSError:
        return ""
    return next((link.name for link in links if os.path.realpath(link) == here), "")
