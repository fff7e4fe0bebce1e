"""systemd's notification protocol (sd_notify(3)): ready, stopping, and a watchdog that only progress feeds."""

from __future__ import annotations

import os
import socket
import time


class Notifier:
    """Sends states to `$NOTIFY_SOCKET`; does nothing without one."""

    def __init__(self, address: str | None = None, watchdog_usec: str | None = None) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        usec = os.environ.get("WATCHDOG_USEC", "") if watchdog_usec is None else watchdog_usec
        self.watchdog_s = int(usec) / 1e6 if usec.isdigit() and int(usec) else None

    def send(self, *states: str) -> None:
        """Send states such as `READY=1` in one datagram; a vanished socket is not our failure."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.sendto("\n".join(states).encode(), address)
        except OSError:
            return

    def reloading(self) -> None:
        """A reload begins (sd_notify(3)); it ends with `READY=1`."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
