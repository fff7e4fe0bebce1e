"""What a gateway.toml means with its devices known: rules per device, mistakes between sections, and warnings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TypeVar

from edge.config import AlarmConfig, CheckConfig, GatewayConfig
from edge.figures import SELF, own_device
from edge.orders.two_step import Guard
from edge.pipeline import AlarmRule, CheckRule, Pipeline
from edge.pipeline.convert import Converter
from edge.supervisor import specs_of
from tocsin.config import KeyPath, Loaded
from tocsin.errors import ConfigError, ConfigProblem, DriverError, TocsinError
from tocsin.sdk import (
    DeviceSpec,
    Driver,
    DriverContext,
    Endpoint,
    Sample,
    SystemClock,
    load_driver,
)

_C = TypeVar("_C", CheckConfig, AlarmConfig)


@dataclass(frozen=True, slots=True)
class Survey:
    """Devices in the order of the file, with the rules that hold for them."""

    by_driver: dict[str, tuple[DeviceSpec, ...]]
    checks: tuple[CheckRule, ...]
    alarms: tuple[AlarmRule, ...]
    guards: tuple[Guard, ...]
    warnings: tuple[str, ...]

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        """Every device."""
        return tuple(spec for specs in self.by_driver.values() for spec in specs)


def survey(loaded: Loaded[GatewayConfig]) -> Survey:
    """Build every driver without I/O and resolve all rules.

    Raises:
        ConfigError: with every mistake between the sections.
    """
    finder = _Finder(loaded)
    config = loaded.value
    finder.unique("drivers", [d.name for d in config.drivers])
    finder.unique("outputs", [o.name for o in config.outputs])
    finder.unique("outlets", [o.name for o in config.outlets])
    finder.ports()
    by_driver = finder.devices()
    devices = [spec for specs in by_driver.values() for spec in specs]
    checks = finder.resolve("checks", config.checks, devices, lambda c: c.quantity)
    alarms = finder.resolve("alarms", config.alarms, devices, lambda a: a.rule)
    finder.guards(devices)
    finder.spaces(devices)
    if finder.problems:
        raise ConfigError(sorted(finder.problems, key=lambda p: (p.line, p.key)))
    check_rules = tuple(_check(device, c) for device, c in checks)
    alarm_rules = tuple(_alarm(device, a) for device, a in alarms)
    try:
        Pipeline(devices, check_rules, alarm_rules)
    except ValueError as exc:  # a driver gives a unit or type that is not the catalogue's
        raise ConfigError([loaded.problem(("drivers",), str(exc))]) from exc
    guards = tuple(
        Guard(g.device, g.command, int(g.confirm_within_s * 1e9), g.confirm_by)
        for g in config.guards
    )
    warnings = tuple(_warnings(config, devices))
    return Survey(by_driver, check_rules, alarm_rules, guards, warnings)


class _Finder:
    def __init__(self, loaded: Loaded[GatewayConfig]) -> None:
        self._loaded = loaded
        self.problems: list[ConfigProblem] = []

    def problem(self, path: KeyPath, value: str, allowed: str, known: Iterable[str] = ()) -> None:
        found = self._loaded.problem(path, allowed, value=f'"{value}"' if value else "")
        found.nearest = next(iter(get_close_matches(value, list(known), n=1)), "")
        self.problems.append(found)

    def unique(self, section: str, names: list[str], key: str = "name") -> None:
        for i, name in enumerate(names):
            if name in names[:i]:
                self.problem((section, i, key), name, "already used above")

    def ports(self) -> None:
        """A serial port, and a port that is listened on, has one owner."""
        owners: dict[Endpoint, str] = {}
        for i, config in enumerate(self._loaded.value.drivers):
            for endpoint in config.endpoints():
                if endpoint.kind not in ("serial", "listen") or endpoint.address.endswith(":0"):
                    continue
                owner = owners.setdefault(endpoint, config.name)
                if owner != config.name:
                    allowed = f"driver {owner} has this port; all devices of a line belong into one driver"
                    self.problem(("drivers", i), endpoint.address, allowed)

    def devices(self) -> dict[str, tuple[DeviceSpec, ...]]:
        """The devices by driver; what a driver says of its configuration becomes a problem of its table."""
        by_driver: dict[str, tuple[DeviceSpec, ...]] = {}
        known: set[str] = set()
        for i, config in enumerate(self._loaded.value.drivers):
            try:
                specs = specs_of(config, offline(config.name))
                for spec in specs:
                    Converter(spec)  # the units and types are the catalogue's
            except ConfigError as exc:
                for problem in exc.problems:
                    problem.path = ("drivers", i)
                self.problems += exc.problems
                continue
            except (TocsinError, ValueError, OSError) as exc:
                self.problem(("drivers", i), "", str(exc))
                continue
            by_driver[config.name] = specs
            for spec in specs:
                if spec.id in known:
                    self.problem(("drivers", i), spec.id, "two devices have this id")
                known.add(spec.id)
        for spec in (own := own_device(self._loaded.value)):
            if spec.id in known:
                text = "a device of a driver has this id: give the gateway's own one another"
                self.problem(("metrics", "device"), spec.id, text)
            by_driver[SELF] = own
        return by_driver

    def guards(self, devices: list[DeviceSpec]) -> None:
        """A guard that fits nothing guards nothing: a mistake."""
        for i, guard in enumerate(self._loaded.value.guards):
            fitting = [d for d in devices if fnmatchcase(d.id, guard.device)]
            names = [c.name for d in fitting for c in d.commands]
            if not fitting:
                known = [d.id for d in devices]
                text = "no device of this file has this id"
                self.problem(("guards", i, "device"), guard.device, text, known)
            elif names and not any(fnmatchcase(name, guard.command) for name in names):
                text = f"{guard.device} takes {', '.join(dict.fromkeys(names))}"
                self.problem(("guards", i, "command"), guard.command, text, names)

    def spaces(self, devices: list[DeviceSpec]) -> None:
        """Every device, signal, lock and siren of a space is one of this file's."""
        config = self._loaded.value
        self.unique("spaces", [space.id for space in config.spaces], "id")
        specs = {spec.id: spec for spec in devices}
        locked: dict[str, str] = {}
        for i, space in enumerate(config.spaces):
            for lock in space.locks:
                if locked.setdefault(lock, space.id) != space.id:
                    self.problem(("spaces", i, "locks"), lock, f"space {locked[lock]} has it")
            named = [("gas", d) for d in space.gas] + [("locks", d) for d in space.locks]
            fan, _, quantity = (space.ventilation or "").partition("/")
            named += [("ventilation", fan)] if fan else []
            siren = space.siren
            named += [("siren", siren.device)] if siren and siren.device else []
            for key, device in named:
                if device not in specs:
                    text = "no device of this file has this id"
                    self.problem(("spaces", i, key), device, text, specs)
            if fan in specs and not gives(specs[fan], quantity):
                names = [c.quantity for c in specs[fan].channels]
                text = f"{fan} gives {', '.join(names)}"
                self.problem(("spaces", i, "ventilation"), quantity, text, names)
            if siren and siren.device in specs:
                names = [c.name for c in specs[siren.device].commands]
                if names and siren.command not in names:
                    text = f"{siren.device} takes {', '.join(names)}"
                    self.problem(("spaces", i, "siren"), siren.command, text, names)
            outputs = [o.name for o in config.outputs]
            if siren and siren.output and siren.output not in outputs:
                text = "no [[outputs]] has this name"
                self.problem(("spaces", i, "siren"), siren.output, text, outputs)

    def resolve(
        self,
        section: str,
        configs: tuple[_C, ...],
        devices: list[DeviceSpec],
        key: Callable[[_C], str],
    ) -> list[tuple[str, _C]]:
        """(device, config) pairs. An exact id wins over a pattern, an earlier pattern over a later one."""
        chosen: dict[tuple[str, str], tuple[bool, _C]] = {}
        for i, config in enumerate(configs):
            fitting = [d for d in devices if fnmatchcase(d.id, config.device)]
            giving = [d for d in fitting if gives(d, config.quantity)]
            if not fitting:
                self.problem(
                    (section, i, "device"),
                    config.device,
                    "no device of this file has this id",
                    (d.id for d in devices),
                )
            elif not giving:
                names = list(dict.fromkeys(c.quantity for d in fitting for c in d.channels))
                self.problem(
                    (section, i, "quantity"),
                    config.quantity,
                    f"{config.device} gives {', '.join(names)}",
                    names,
                )
            exact = not set(config.device) & set("*?[")
            for device in giving:
                before = chosen.get((device.id, key(config)))
                if before is not None and exact and before[0]:
                    self.problem((section, i), "", f"{device.id} {key(config)} is judged above")
                elif before is None or (exact and not before[0]):
                    chosen[device.id, key(config)] = (exact, config)
        return [(device, config) for (device, _), (_, config) in chosen.items()]


def gives(spec: DeviceSpec, quantity: str) -> bool:
    return any(channel.quantity == quantity for channel in spec.channels)


def _check(device: str, config: CheckConfig) -> CheckRule:
    low, high = config.range or (None, None)
    return CheckRule(
        device=device,
        quantity=config.quantity,
        low=low,
        high=high,
        rate_per_s=config.rate_per_s,
        flatline_ns=None if config.flatline_s is None else int(config.flatline_s * 1e9),
        stale_ns=None if config.stale_s is None else int(config.stale_s * 1e9),
        deadband=config.deadband,
        deadband_max_ns=int(config.deadband_max_s * 1e9),
    )


def _alarm(device: str, config: AlarmConfig) -> AlarmRule:
    return AlarmRule(
        device=device,
        quantity=config.quantity,
        name=config.rule,
        level1=config.level1,
        level2=config.level2,
        direction=config.direction,
        hysteresis=config.hysteresis,
        on_delay_ns=int(config.on_delay_s * 1e9),
        latch=config.latch,
    )


def _warnings(config: GatewayConfig, devices: list[DeviceSpec]) -> Iterable[str]:
    for spec in devices:
        watched = any(fnmatchcase(spec.id, alarm.device) for alarm in config.alarms)
        if spec.measurement == "gas" and not watched:
            yield f"{spec.id} measures gas and has no [[alarms]]: nothing here will sound"
    if not config.drivers:
        yield "there is no [[drivers]] table: this gateway reads nothing"
    if config.uplink is None:
        yield "there is no [uplink] table: readings stay in the outbox"
    elif config.alarms and config.commands.key is None:
        yield "there is no key in [commands]: alarms cannot be acknowledged from the cloud"
    if config.spaces and config.permits is None:
        yield "there are [[spaces]] and no [permits] table: no permit is taken or watched"
    if config.permits is not None and config.commands.key is None:
        yield "there is no key in [commands]: permits from the cloud are refused"
    for space in config.spaces:
        if space.siren is None:
            yield f"space {space.id} has no siren: nothing there will sound"
    if config.alarms and not config.outputs:
        yield "there is no [[outputs]] table: alarms are not heard at the gateway itself"


def offline(name: str) -> DriverContext:
    """The surroundings of a driver that is only looked at or probed: nothing it emits goes anywhere."""

    async def emit(sample: Sample) -> None:
        del sample

    async def keep(samples: Sequence[Sample]) -> None:
        del samples

    def available(device: str) -> None:
        del device

    def unavailable(device: str, error: DriverError) -> None:
        del device, error

    def count(counter: str, n: int) -> None:
        del counter, n

    return DriverContext(
        name=name,
        clock=SystemClock(),
        log=logging.getLogger(f"edge.drivers.{name}"),
        emit=emit,
        keep=keep,
        available=available,
        unavailable=unavailable,
        count=count,
    )


def offline_drivers(config: GatewayConfig) -> list[Driver]:
    """Every configured driver, for a probe."""
    return [load_driver(d.type)(d, offline(d.name)) for d in config.drivers]
