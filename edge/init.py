"""`tocsin init`: a first gateway.toml and its systemd unit, from five answers."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.data import data_dir as shipped
from tocsin.cli.names import drivers
from tocsin.cli.sample import sample_of
from tocsin.config import is_loopback
from tocsin.contract import topics
from tocsin.errors import FolderError, UsageError
from tocsin.sdk.driver import driver_names, driver_point

app = new_app("Write a first gateway.toml and its systemd unit.")

CONFIG, UNIT = "gateway.toml", "tocsin-edge.service"
_SERIAL = "/dev/serial/by-id/..."

HEAD = """# The gateway {id}. `tocsin check -c {config}` names every mistake in here.
schema = 1

[gateway]
id = "{id}"   # unique in the cloud; also its broker account
site = "{site}"   # as in the cloud's registry
data_dir = "{data_dir}"   # outbox, alarm states, control socket: what must survive
"""
BROKER = """
[uplink]
host = "{host}"
port = {port}
# password = "${{file:/etc/tocsin/broker-password}}"
"""
TLS = """
[uplink.tls]                    # always verified; without `ca` by the system's authorities
# ca = "/etc/tocsin/broker-ca.pem"
"""
NO_BROKER = """
# [uplink]                      # without it readings stay in the outbox
# host = "cloud.example.org"
"""
TAIL = """
[metrics]                       # CPU, memory, disk and outbox of the gateway itself, once a minute

# [commands]                    # lets the cloud acknowledge and reset alarms here
# key = "${file:/etc/tocsin/command-key}"
# remote_config = true          # ... and send configurations

# [[alarms]]                    # judged here, with the cloud gone too
# device = "gas-*"
# quantity = "h2s"
# level1 = 10.0
# level2 = 20.0

# [[outputs]]                   # the siren that follows the alarms
# name = "siren"
# path = "/sys/class/gpio/gpio17/value"
# on = "1"
# off = "0"
"""


class Answers(msgspec.Struct, frozen=True):
    """What a first configuration needs to know. `broker` is host or host:port, `port` a serial port or host:port."""

    id: str
    site: str
    broker: str = ""
    driver: str = ""
    port: str = ""


class Written(msgspec.Struct, frozen=True):
    """The files it made, and what to do with them."""

    files: list[Path]
    next: list[str]


@app.command()
def init(
    gateway: Annotated[str, typer.Option("--id", help="Name of this gateway.")] = "",
    site: Annotated[str, typer.Option(help="Site it belongs to.")] = "",
    broker: Annotated[str, typer.Option(help="Broker, host or host:port; `none`: no uplink.")] = "",
    driver: Annotated[
        str, typer.Option(help="First driver; `tocsin sample` lists them.", autocompletion=drivers)
    ] = "",
    port: Annotated[str, typer.Option(help="Its serial port, or address and port, or file.")] = "",
    folder: Annotated[Path, typer.Option("--dir", help="Folder for the two files.")] = Path(),
    data_dir: Annotated[Path, typer.Option(help="Folder for outbox and alarm states.")] = Path(
        "/var/lib/tocsin/edge"
    ),
    as_json: Json = False,
) -> None:
    """Ask five questions, or take flags, and write gateway.toml and tocsin-edge.service. Nothing is overwritten."""
    given = Answers(gateway, site, _unless_none(broker), _unless_none(driver), port)
    for name in (CONFIG, UNIT):
        if (folder / name).exists():
            raise UsageError(
                f"{folder / name} is there already and stays as it is",
                hint="--dir FOLDER writes elsewhere",
            )
    asked = given == Answers("", "") and not as_json and sys.stdin.isatty()
    answers = ask() if asked else _complete(given)
    texts = {CONFIG: config_text(answers, folder.absolute() / CONFIG, data_dir)}
    texts[UNIT] = unit_text(folder.absolute() / CONFIG, data_dir)
    _check(texts[CONFIG])
    written = Written(_write(folder, texts), _next(folder))
    lines = [f"wrote {file}" for file in written.files]
    output.emit(written, as_json=as_json, human="\n".join(lines))
    if not as_json:
        output.note("next:\n" + "\n".join(f"  {line}" for line in written.next))


def _complete(given: Answers) -> Answers:
    missing = [flag for flag, text in (("--id", given.id), ("--site", given.site)) if not text]
    if given.driver and not given.port:
        missing.append("--port")
    if given.port and not given.driver:
        missing.append("--driver")
    if missing:
        raise UsageError(
            f"without a terminal to ask at, {' and '.join(missing)} must be given",
            hint="tocsin init --id gw-1 --site plant --broker HOST --driver modbus --port /dev/...",
        )
    for flag, text in (("--id", given.id), ("--site", given.site)):
        if not topics.is_name(text):
            raise UsageError(
                f"{flag} {text!r}: 1-64 of a-z 0-9 . _ -, first and last a letter or digit"
            )
    return given


def ask() -> Answers:
    """The five questions, at the terminal; each until its answer can be used."""
    known = sorted(driver_names())
    host = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-") or "1"
    name = _ask("1/5 Name of this gateway", f"gw-{host}"[:64], _name)
    site = _ask("2/5 Site it belongs to", "plant", _name)
    broker = _ask("3/5 Broker, host or host:port; - for none", "-", _broker)
    driver = _ask(f"4/5 First driver ({', '.join(known)}; - for none)", "modbus", _driver)
    if not _unless_none(driver):
        return Answers(name, site, _unless_none(broker))
    ports = sorted(Path("/dev/serial/by-id").glob("*"))
    there = str(ports[0]) if len(ports) == 1 else _SERIAL

    def place(text: str) -> str:
        driver_block(driver, text)
        return text

    port = _ask("5/5 Its serial port, or address and port", there, place)
    return Answers(name, site, _unless_none(broker), driver, port)


def _unless_none(text: str) -> str:
    """An answer; `-` and `none` are none."""
    return "" if text in ("-", "none") else text


def _ask(question: str, default: str, check: Callable[[str], str]) -> str:
    while True:
        text = str(typer.prompt(question, default=default, err=True)).strip()
        try:
            return check(text)
        except UsageError as exc:
            output.note(f"  {exc.message}" + (f" ({exc.hint})" if exc.hint else ""))


def _name(text: str) -> str:
    if not topics.is_name(text):
        raise UsageError("1-64 of a-z 0-9 . _ -, first and last a letter or digit")
    return text


def _broker(text: str) -> str:
    broker_of(text)
    return text


def _driver(text: str) -> str:
    if _unless_none(text) and text not in driver_names():
        raise UsageError(f"no driver is named {text!r}", hint=", ".join(sorted(driver_names())))
    return text


def broker_of(text: str) -> tuple[str, int]:
    """`host` or `host:port`; the port is 8883 if not given, on this machine 1883."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, "1883" if is_loopback(text) else "8883"
    if not re.fullmatch(r"[^\s\"\\:]+|\[[0-9a-fA-F:]+\]", host) or not port.isdecimal():
        raise UsageError(f"a broker is written host or host:port, not {text!r}")
    return host.strip("[]"), int(port)


def config_text(answers: Answers, config: Path, data_dir: Path) -> str:
    """The commented gateway.toml."""
    text = HEAD.format(id=answers.id, site=answers.site, config=config, data_dir=data_dir)
    if answers.broker:
        host, port = broker_of(answers.broker)
        text += BROKER.format(host=host, port=port) + ("" if is_loopback(host) else TLS)
    else:
        text += NO_BROKER
    if answers.driver:
        page = "other drivers, and more of this one: tocsin sample DRIVER"
        text += f"\n# {page}\n" + driver_block(answers.driver, answers.port)
    return text + TAIL


def driver_block(driver: str, port: str) -> str:
    """The first table of the driver's sample that has a place for such a port, with it.

    Raises:
        PluginError: no such driver.
        UsageError: no table of its sample has a place for this port.
    """
    driver_point(driver)
    if not port or re.search(r'["\\\s]', port):
        raise UsageError("a port has no spaces, quotes or backslashes")
    pieces = re.split(r"^(?=\[\[drivers\]\]$)", sample_of(driver), flags=re.MULTILINE)
    for piece in pieces[1:]:
        # what stands above the next table speaks of that one
        block = re.sub(r"(\n#[^\n]*)+\n*\Z", "\n", piece)
        placed = _placed(block, port)
        if placed is not None:
            return re.sub(r'"change-me-[^"]*"', f'"{secrets.token_urlsafe(24)}"', placed)
    raise UsageError(
        f"the sample of {driver} has no place for {port!r}",
        hint=f"a serial port is written {_SERIAL}, an address 192.168.1.40:502; tocsin sample {driver}",
    )


def _placed(block: str, port: str) -> str | None:
    """The block with its port replaced; None when it has no place for one of this shape."""
    host, colon, number = port.rpartition(":")
    if "://" in port:
        ways = [(r'\b(url|source) = "[^"]*"', rf'\g<1> = "{port}"')]
    elif port.startswith("/"):
        ways = [(r'\b(port|file) = "[^"]*"', rf'\g<1> = "{port}"')]
    elif not (colon and number.isdecimal()):
        ways = [(rf'\b{key} = "[^"]*"', f'{key} = "{port}"') for key in ("file", "host")]
    else:
        ways = [
            (r'\b(connect|listen) = "[^"]*"', rf'\g<1> = "{port}"'),
            (r'\b(url|source) = "(\w[\w.+-]*://)[^"/]*', rf'\g<1> = "\g<2>{port}'),
            (r'\bhost = "[^"]*", port = \d+', f'host = "{host}", port = {number}'),
            (r'\bhost = "[^"]*"\n(port = \d+\n)?', f'host = "{host}"\nport = {number}\n'),
        ]
    for place, meant in ways:
        new, n = re.subn(place, meant, block, count=1)
        if n:
            return new
    return None


def unit_text(config: Path, data_dir: Path) -> str:
    """The shipped systemd unit with this installation's paths."""
    text = (shipped("configs") / "systemd" / UNIT).read_text("utf-8")
    program = shutil.which("tocsin", path=str(Path(sys.executable).parent)) or shutil.which(
        "tocsin"
    )
    start = f"ExecStart={program or f'{sys.executable} -P -m tocsin.cli'} edge run -c {config}"
    if not data_dir.is_relative_to("/var/lib/tocsin"):
        start += f"\nReadWritePaths={data_dir}"
    return re.sub(r"^ExecStart=.*$", lambda _: start, text, flags=re.MULTILINE)


def _check(text: str) -> None:
    """The configuration as `tocsin check` sees it, before anything is written."""
    from edge.config import load_gateway

    with tempfile.TemporaryDirectory(prefix="tocsin-init-") as made:
        file = Path(made) / CONFIG
        # what it refers to need not be there yet
        file.write_text(re.sub(r"\$\{(env|file):[^}]*\}", "given-later", text), "utf-8")
        load_gateway(file)


def _write(folder: Path, texts: dict[str, str]) -> list[Path]:
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            # may hold a secret one day; "x": made by nobody else meanwhile
            mode = 0o640 if name == CONFIG else 0o644
            with os.fdopen(
                os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w"
            ) as file:
                file.write(text)
            files.append(folder / name)
    except OSError as exc:
        raise FolderError(
            f"{exc.filename or folder} cannot be written: {exc.strerror}", hint="--dir FOLDER"
        ) from exc
    return files


def _next(folder: Path) -> list[str]:
    config, unit = folder / CONFIG, folder / UNIT
    return [
        f"tocsin check -c {config}",
        f"tocsin edge probe -c {config}",
        f"sudo useradd --system --groups dialout tocsin && sudo chgrp tocsin {config}",
        f"sudo cp {unit} /etc/systemd/system/ && sudo systemctl enable --now tocsin-edge",
    ]
