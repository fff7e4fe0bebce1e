"""Rules that need no other side: configuration, sample, README, and what building a driver may do."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError

from tocsin.config.explain import sounds_secret
from tocsin.config.schema import model_keys
from tocsin.contract import catalogue, units
from tocsin.errors import NOT_SENT, CommandRefusedError, DriverError, UsageError
from tocsin.sdk import SDK_VERSION, DeviceSpec, DriverConfig, TakesCommands
from tocsin.testing.conformance.readme import readme_mistakes
from tocsin.testing.conformance.subject import Rule, Subject
from tocsin.testing.conformance.surroundings import Surroundings

_IO = (
    "open",
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "sqlite3.",
)
_COMMAND_S = 2.0
_CODE = (".py", ".pyc", ".so", ".pth")


async def _sdk(subject: Subject) -> list[str]:
    kind = subject.kind
    found = [] if kind.sdk == SDK_VERSION else [f"`sdk` is {kind.sdk}, not {SDK_VERSION}"]
    wanted = ("probe", "run")
    return found + [f"no `{name}`" for name in wanted if not hasattr(kind, name)]


async def _strict(subject: Subject) -> list[str]:
    found = []
    config = subject.kind.Config
    if not issubclass(config, DriverConfig):
        return [f"{config.__name__} is no subclass of DriverConfig"]
    for model in _models(config):
        if model.model_config.get("extra") != "forbid":
            found.append(f'{model.__name__}: model_config lacks extra="forbid"')
        if not model.model_config.get("frozen"):
            found.append(f"{model.__name__}: model_config lacks frozen=True")
    for table in subject.sample():
        try:
            config.model_validate({**table, "no_such_key": 1}, context={"dir": subject.folder})
        except ValidationError as exc:
            if not any(error["loc"][-1:] == ("no_such_key",) for error in exc.errors()):
                found.append("an unknown key beside the sample's is not what is refused")
        else:
            found.append("an unknown key is taken")
    return found


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and those inside it."""
    found: list[type[BaseModel]] = []

    def visit(kind: Any) -> None:
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in found:
            found.append(kind)
            for field in kind.model_fields.values():
                visit(field.annotation)
        for inner in getattr(kind, "__args__", ()):
            visit(inner)

    visit(model)
    return found


async def _described(subject: Subject) -> list[str]:
    return [
        f"`{key}` has no description"
        for key, node, view, _ in model_keys(subject.kind.Config)
        if not any(branch.get("description") for branch in view.branches(node))
    ]


async def _secrets(subject: Subject) -> list[str]:
    found = []
    for key, node, view, _ in model_keys(subject.kind.Config):
        is_text = any(
            branch.get("type") == "string" and branch.get("format") != "path"
            for branch in view.branches(node)
        )
        name = key.rpartition(".")[2]
        if is_text and sounds_secret(name) and not view.is_secret(node):
            found.append(
                f"`{key}` is plain text: make it tocsin.config.Secret, which prints as ***"
            )
    return found


async def _sample(subject: Subject) -> list[str]:
    found = []
    if not subject.sample():
        found.append("sample.toml has no [[drivers]] table")
    for config in subject.configs():
        if config.type != subject.name:
            found.append(f"a table of sample.toml is of type {config.type!r}")
        subject.kind(config, Surroundings(config.name).context)
    return found


async def _builds_without_io(subject: Subject) -> list[str]:
    found: list[str] = []
    for config in subject.configs():
        context = Surroundings(config.name).context
        _ = subject.kind(config, context).devices  # once before, for what it imports
        with _watching(found):
            _ = subject.kind(config, context).devices
    return found


async def _devices(subject: Subject) -> list[str]:
    found = []
    for config in subject.configs():
        specs = subject.kind(config, Surroundings(config.name).context).devices
        if not specs:
            found.append(f"{config.name}: no devices are known before I/O")
        ids = [spec.id for spec in specs]
        found += [f"two devices are named {i!r}" for i in set(ids) if ids.count(i) > 1]
        for spec in specs:
            found += _channels(spec)
    return found


def _channels(spec: DeviceSpec) -> Iterator[str]:
    if not catalogue.is_measurement(spec.measurement):
        yield f"{spec.id}: {spec.measurement!r} cannot name a measurement"
    names = [channel.quantity for channel in spec.channels]
    if not names or len(set(names)) < len(names):
        yield f"{spec.id}: it needs channels, each quantity once"
    for channel in spec.channels:
        if not catalogue.is_identifier(channel.quantity):
            yield f"{spec.id}: {channel.quantity!r} cannot name a quantity"
        known = catalogue.find(spec.measurement, channel.quantity)
        if known is None:
            continue
        if known.type != channel.type and {known.type, channel.type} != {"f", "i"}:
            yield f"{spec.id}: {channel.quantity} is of type {known.type}, not {channel.type}"
        if channel.type in ("f", "i"):
            try:
                units.conversion(channel.unit, known.unit)
            except ValueError as exc:
                yield f"{spec.id}: {channel.quantity}: {exc}"


async def _commands(subject: Subject) -> list[str]:
    found = []
    for config in subject.configs():
        driver = subject.kind(config, Surroundings(config.name).context)
        for spec in driver.devices:
            names = [command.name for command in spec.commands]
            found += [f"{spec.id}: two commands {n!r}" for n in set(names) if names.count(n) > 1]
            if isinstance(driver, TakesCommands):
                found += await _refusals(driver, spec)
            elif names:
                found.append(f"{spec.id}: it announces commands and has no `command`")
    return found


async def _refusals(driver: TakesCommands, spec: DeviceSpec) -> list[str]:
    """What a driver that does not run does with a command it does not know, and with its own that want no arguments."""
    found = []
    plain = [c.name for c in spec.commands if not any(a.required for a in c.arguments)]
    for name in ("no-such-command", *plain):
        text = f"{spec.id}: {name!r} while it does not run"
        try:
            async with asyncio.timeout(_COMMAND_S):
                await driver.command(spec.id, name, {}, _COMMAND_S)
        except (UsageError, CommandRefusedError):
            continue
        except DriverError as exc:
            if name not in plain:
                found.append(f"{text}: it is a UsageError, not {exc.reason.value!r}")
            elif exc.reason not in NOT_SENT:
                found.append(f"{text}: {exc.reason.value!r} says that it was sent")
        except TimeoutError:
            found.append(f"{text}: it waits longer than it may")
        else:
            found.append(f"{text}: it is said to be done")
    return found


async def _readme(subject: Subject) -> list[str]:
    text = (subject.folder / "README.md").read_text("utf-8")
    return list(readme_mistakes(text, subject.name))


_told: list[str] | None = None
_thread = 0
_hooked = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _told is None or threading.get_ident() != _thread or not event.startswith(_IO):
        return
    shown = str(args[0]) if args else ""
    if not (event == "open" and shown.endswith(_CODE)):
        _told.append(f"building it does I/O: {event} {shown}"[:200])


@contextmanager
def _watching(into: list[str]) -> Iterator[None]:
    """Audit events (PEP 578) of this thread that mean I/O are written into `into`. The hook stays; it is idle afterwards."""
    global _told, _thread, _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    _told, _thread = into, threading.get_ident()
    try:
        yield
    finally:
        _told = None


UNPLUGGED = (
    Rule("sdk", "states the SDK version and has the methods of tocsin.sdk.Driver", _sdk),
    Rule("strict", "refuses unknown keys, at every level of its configuration", _strict),
    Rule("described", "describes every key", _described),
    Rule("secrets", "keeps secrets in tocsin.config.Secret", _secrets),
    Rule("sample", "has a sample.toml that is valid as it stands", _sample),
    Rule("no-io", "does no I/O while it is built", _builds_without_io),
    Rule("devices", "knows its devices before any I/O, in units of the catalogue", _devices),
    Rule(
        "commands",
        "takes the commands it announces, and sends none while it does not run",
        _commands,
    ),
    Rule("readme", "has a README with its four sections", _readme),
)
