"""The driver protocol. Built-in drivers and third-party ones come through the same entry-point group, `tocsin.drivers`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from tocsin.errors import DriverError
from tocsin.sdk.clock import Clock
from tocsin.sdk.plugins import PluginError, load_point
from tocsin.sdk.samples import DeviceSpec, Sample

SDK_VERSION = 1  # a driver class states the version it is made for as `sdk`


class Endpoint(msgspec.Struct, frozen=True):
    """What a driver opens: a serial port, a file, `host:port` to connect to, `address:port` to listen on, or a Bluetooth
    adapter ("": the system's first)."""

    kind: Literal["serial", "file", "connect", "listen", "bluetooth"]
    address: str

    @classmethod
    def line(cls, port: str | None, connect: str | None) -> tuple[Endpoint, ...]:
        """A serial port, or the connection that takes its place."""
        if port is not None:
            return (cls("serial", port),)
        return (cls("connect", connect),) if connect else ()


class DriverConfig(BaseModel):
    """What every driver's configuration has. Subclass it; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(description="Driver: one of the installed `tocsin.drivers` entry points.")
    name: str = Field(
        description="Unique name of this driver instance.", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$"
    )
    on_start_failure: Literal["retry", "error", "ignore"] = Field(
        default="retry",
        description="When the port cannot be opened at start: keep trying, stop the agent, or go without.",
    )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What it will open, for `tocsin doctor`."""
        return ()


Direction = Literal["rx", "tx"]


def no_frame(device: str, direction: Direction, data: bytes) -> None:
    """Forgets it: nobody traces."""


async def no_event(kind: str, device: str, text: str, data: dict[str, object]) -> None:
    """Forgets it: there is no journal."""


async def no_evidence(data: bytes) -> str:
    """Keeps nothing: there is no ring."""
    return ""


def no_folder(device: str) -> Path | None:
    """Nothing is kept."""
    return None


def no_view(device: str, data: bytes) -> str:
    """Keeps nothing: nobody looks."""
    return ""


def no_sending(sha256: str) -> None:
    """Sends nothing."""


def no_model(name: str, use: Callable[[Path | None], object]) -> Path | None:
    """None comes from the cloud."""
    return None


def no_failure(name: str, folder: Path, why: str) -> None:
    """Tells nobody."""


class ProbeLine(msgspec.Struct, frozen=True):
    """One line of a probe's report."""

    device: str
    ok: bool
    text: str


class DriverContext(msgspec.Struct, frozen=True):
    """What the agent gives a driver, and all it may use of its surroundings.

    `emit` hands one sample over and waits while the pipeline is full: back-pressure slows the poller, nothing is
    dropped. `keep` hands samples over and returns when they are durable: a push source is answered only after it.
    `unavailable(device, error)` and `available(device)` may be called after each read; the agent says each
    change once, and each further reason of an outage, as a log line and an event. `count(name, n)` adds to the health counters. `frame(device, direction,
    data)` shows one frame as it was on the wire, broken ones too; `device` is "" where it is no known device's.
    `tell(kind, device, text, data)` journals an event of the device's own (a lock's log) and returns when it is durable. `evidence(data)` keeps a
    picture or clip and gives its SHA-256 in hex without waiting for a slow disk, "" where it cannot be kept; `view(device, data)` keeps the newest
    small picture of a device, in memory alone, and gives its SHA-256, "" while no cloud is connected. `send_evidence(sha256)` sends either without being asked: for what is small. `serve_model(name, use)` gives the folder of the newest version of a model that the cloud sent,
    None without one; `use(folder)` is called in a thread when a newer one comes, or one that failed is left everywhere (None: what was shipped or configured), and raises a `TocsinError` when it cannot be used.
    `folder(device)` is where a device's own state is kept over a restart, a folder that is made when it is needed; None where nothing is kept.
    `model_failed(name, folder, why)`, from any thread, says that the version in this folder was left again.
    """

    name: str
    clock: Clock
    log: logging.Logger
    emit: Callable[[Sample], Awaitable[None]]
    keep: Callable[[Sequence[Sample]], Awaitable[None]]
    available: Callable[[str], None]
    unavailable: Callable[[str, DriverError], None]
    count: Callable[[str, int], None]
    frame: Callable[[str, Direction, bytes], None] = no_frame
    tell: Callable[[str, str, str, dict[str, object]], Awaitable[None]] = no_event
    evidence: Callable[[bytes], Awaitable[str]] = no_evidence
    view: Callable[[str, bytes], str] = no_view
    send_evidence: Callable[[str], None] = no_sending
    serve_model: Callable[[str, Callable[[Path | None], object]], Path | None] = no_model
    model_failed: Callable[[str, Path, str], None] = no_failure
    folder: Callable[[str], Path | None] = no_folder


class Driver(Protocol):
    """One configured connection to one or more devices.

    `__init__` validates and does no I/O. `run` acquires until cancelled; it returns when its source has ended (a
    replay) and raises `DriverError` when the link is lost, upon which the supervisor runs it again with back-off.
    Cancelling frees the port within a second.
    """

    sdk: ClassVar[int]
    Config: ClassVar[type[DriverConfig]]

    def __init__(self, config: DriverConfig, context: DriverContext) -> None: ...

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        """Every device, known before any I/O."""
        ...

    async def probe(self) -> list[ProbeLine]:
        """Touch each device once, emit nothing, leave no trace."""
        ...

    async def run(self) -> None:
        """Acquire until cancelled."""
        ...


@runtime_checkable
class TakesChanges(Protocol):
    """A driver that can take another configuration while it runs; any other is stopped and built anew."""

    def reconfigure(self, config: DriverConfig) -> bool:
        """Go on with `config` from now on; False, with nothing changed, when that takes a new connection.

        A device whose part of `config` stays keeps its period and state. From this call on nothing may be told of a
        device that has left, nor of a changed one as it was: what is being read of them is dropped.
        """
        ...


@runtime_checkable
class TakesCommands(Protocol):
    """A driver whose devices can be told something: a relay, a siren, a text on a display.

    What a device takes stands in its `DeviceSpec.commands`. Argument values may be text from a command line (`"30"`,
    `"true"`): convert them.
    """

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]:
        """Carry out one command through the port's one owner, and tell what the device answered, as JSON values.

        It is sent within `within_s` from now or never; how long the device may take to answer is the driver's matter.
        Whoever is cancelled while it waits for its turn is never sent.

        Raises:
            CommandRefusedError: nothing was sent: no room in the queue, or (`EXPIRED`) its turn did not come in time.
            UsageError: nothing was sent: no such command, or wrong arguments.
            DeviceFaultError: the device answered no.
            DriverError: with the reason `NO_PORT`, `REFUSED`, `PERMISSION` or `CLOSED`, nothing was sent; with any
                other, it was sent and nobody knows whether it was carried out.
        """
        ...


def driver_names() -> dict[str, EntryPoint]:
    """Installed drivers by name, without importing any.

    Raises:
        PluginError: two distributions offer the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in _installed(tuple(sys.path)):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise PluginError(
                f"two drivers are named {point.name!r}: {other.value} and {point.value}",
                hint="uninstall one of the two packages",
            )
        found[point.name] = point
    return found


@lru_cache(maxsize=4)
def _installed(_path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """All drivers on this path; read once, for a gateway of 500 drivers asks 2,500 times."""
    return tuple(entry_points(group="tocsin.drivers"))


def driver_point(name: str) -> EntryPoint:
    """Where the driver `name` is registered.

    Raises:
        PluginError: it is not installed.
    """
    known = driver_names()
    point = known.get(name)
    if point is None:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "installed: " + ", ".join(sorted(known))
        raise PluginError(f"no driver is named {name!r}", hint=hint)
    return point


def load_driver(name: str) -> type[Driver]:
    """The driver class named `name`.

    Raises:
        PluginError: not installed, it cannot be imported, or it is made for another version of this SDK.
    """
    loaded: type[Driver] = load_point(driver_point(name))
    made_for = getattr(loaded, "sdk", None)
    if made_for != SDK_VERSION:
        raise PluginError(
            f"driver {name!r} is made for version {made_for} of the driver SDK; this is version {SDK_VERSION}",
            hint="install a release of the driver that fits this Tocsin",
        )
    return loaded
