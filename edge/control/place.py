"""Which gateway a command is about: its gateway.toml, and the control socket that names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from tocsin.errors import ConfigError, UsageError

PLACES = (Path("gateway.toml"), Path("/etc/tocsin/gateway.toml"))

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="gateway.toml; default ./gateway.toml, then /etc/tocsin/gateway.toml.",
    ),
]


def config_path(given: Path | None) -> Path:
    """The file given, or the first that lies at one of its places.

    Raises:
        UsageError: there is none.
    """
    found = given or next((place for place in PLACES if place.is_file()), None)
    if found is None:
        raise UsageError(
            "which gateway.toml?", hint="-c FILE; none lies here nor at /etc/tocsin/gateway.toml"
        )
    return found


def socket_of(given: Path | None) -> Path:
    """The control socket a configuration names; the rest of the file need not be right for asking.

    Raises:
        UsageError: no file, or it names no socket.
        ConfigError: it is no TOML file.
    """
    path, data_dir, socket = _named(given)
    return path.parent / Path(socket or f"{data_dir}/control.sock").expanduser()


def data_dir_of(given: Path | None) -> Path:
    """The data directory a configuration names; the rest of the file need not be right.

    Raises:
        UsageError: no file, or it names none.
        ConfigError: it is no TOML file.
    """
    path, data_dir, _ = _named(given)
    if not data_dir:
        raise UsageError(f"{path} names no data_dir", hint="tocsin check -c FILE")
    return path.parent / Path(data_dir).expanduser()


def _named(given: Path | None) -> tuple[Path, str, str]:
    from tocsin.config.load import read

    path = config_path(given)
    raw, _ = read(path)
    tables = cast("dict[str, dict[str, str]]", raw)
    try:
        data_dir = tables.get("gateway", {}).get("data_dir", "")
        return path, str(data_dir), str(tables.get("control", {}).get("socket") or "")
    except AttributeError as exc:
        raise UsageError(f"{path} names no control socket", hint="tocsin check -c FILE") from exc


def devices(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Ids of devices in the configuration that begin with `incomplete`, for a shell's completion."""
    from tocsin.config.load import read

    try:
        raw, _ = read(config_path(ctx.params.get("config")))
    except (UsageError, ConfigError):
        return
    drivers: Any = raw.get("drivers")
    for driver in drivers if isinstance(drivers, list) else []:
        if not isinstance(driver, dict):
            continue
        listed = driver.get("devices")
        tables = listed if isinstance(listed, list) else []
        for id_ in (driver.get("device"), *(t.get("id") for t in tables if isinstance(t, dict))):
            if isinstance(id_, str) and id_.startswith(incomplete):
                yield id_
