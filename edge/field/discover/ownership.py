"""A port has one owner: while an agent reads it, nobody searches there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.control import client
from edge.control.place import PLACES, socket_of
from tocsin.errors import DriverReason, LinkError


def refuse_if_owned(target: str, config: Path | None) -> None:
    """Nothing, where no agent of this gateway has `target` in its configuration.

    Raises:
        LinkError: one has.
    """
    path = config or next((place for place in PLACES if place.is_file()), None)
    if path is None or not client.answers(socket_of(path)):
        return
    status: Any = client.ask(socket_of(path), "status")
    for driver, port in ports_of(Path(status["config"])):
        if same_port(port, target):
            raise LinkError(
                DriverReason.REFUSED,
                f"the running agent {status['gateway']} owns {target} (driver {driver})",
                hint="stop it (systemctl stop tocsin-edge), or take the driver out and `tocsin edge reload`",
            )


def ports_of(config: Path) -> Iterator[tuple[str, str]]:
    """(driver, port or host:port) of a gateway.toml."""
    from tocsin.config.load import read

    raw: dict[str, Any] = dict(read(config)[0])
    for driver in raw.get("drivers", ()):
        tables = [driver, *(value for value in driver.values() if isinstance(value, dict))]
        for table in tables:
            host, port = table.get("host"), table.get("port")
            if isinstance(host, str):
                yield driver.get("name", "?"), f"{host}:{port or 502}"
            elif isinstance(port, str):
                yield driver.get("name", "?"), port
            if isinstance(table.get("connect"), str):
                yield driver.get("name", "?"), table["connect"]


def same_port(one: str, other: str) -> bool:
    """Whether two names mean one port: links are followed."""
    return one == other or os.path.realpath(one) == os.path.realpath(other)
