"""The configured transmitters: who may connect, what each has told, and the rows its messages make."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timezone
from typing import Any

from edge.drivers.gb26875.config import Gb26875Config, TransmitterConfig
from edge.drivers.gb26875.orders import SPECS
from edge.drivers.gb26875.standing import NOBODY, Holders, reset, take
from edge.zones import parse_zone
from firmware_bridges.gb26875.app_data import time_of
from firmware_bridges.gb26875.frames import Frame
from firmware_bridges.gb26875.samples import (
    CHANNELS,
    CLOCKS,
    STANDING,
    part_of,
    sample,
    time_ns,
    values_of,
)
from tocsin.contract.catalogue import Value
from tocsin.sdk import DeviceSpec, Sample, SourceWindow

_REMEMBERED = 1024


class Transmitter:
    """One transmitter of the configuration, with the parts that are devices of their own."""

    def __init__(self, config: TransmitterConfig, zone: timezone, window: SourceWindow) -> None:
        self.config, self.id = config, config.id
        self.address, self._zone = bytes.fromhex(config.address), zone
        self.spec = DeviceSpec(
            config.id, config.measurement, CHANNELS, config.period_s, window, config.model, SPECS
        )
        self.parts = {
            p.part: DeviceSpec(p.id, p.measurement, CHANNELS, None, window, p.model)
            for p in config.parts
        }
        self.keeping = asyncio.Lock()  # a new link may send again what the old one is still keeping
        self._holders: Holders = NOBODY
        self._told: OrderedDict[bytes, None] = OrderedDict()

    @property
    def specs(self) -> tuple[DeviceSpec, ...]:
        """Itself and its parts."""
        return (self.spec, *self.parts.values())

    def told(self, frame: Frame) -> bool:
        """Whether this very message is already kept. One without a time of its own is never taken for an old one."""
        return time_of(frame.time) is not None and _key(frame) in self._told

    def rows(
        self, kind: int, objects: Sequence[Mapping[str, Any]], now_ns: int
    ) -> tuple[list[Sample], Holders]:
        """Samples of one message, and what stands after it; `settle` makes that hold once the samples are durable."""
        made: list[Sample] = []
        holders = self._holders
        for one in objects:
            part, values, at_ns = part_of(one), values_of(kind, one), time_ns(one, self._zone)
            if kind in CLOCKS:
                values["clock_error"] = None if at_ns is None else (at_ns - now_ns) / 1e9
                at_ns = None
            own = self.parts.get(part)
            if own is not None:
                made.append(sample(own, values, now_ns, at_ns))
            if kind == 4 and one["operation"] & 1:
                holders, decided = reset(holders, part)
            else:
                holders, decided = take(holders, part, values)
            site: dict[str, Value] = {k: v for k, v in values.items() if k not in STANDING}
            made.append(sample(self.spec, site | decided, now_ns, at_ns))
        return made, holders

    def settle(self, frame: Frame, holders: Holders) -> None:
        """The rows of `frame` are durable."""
        if holders != self._holders:
            self._told.clear()  # the same words tell something new once the state has changed in between
            self._holders = holders
        self._told[_key(frame)] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)


def _key(frame: Frame) -> bytes:
    told = frame.serial.to_bytes(2, "little") + frame.time + frame.app
    return hashlib.blake2b(told, digest_size=12).digest()


def transmitters(config: Gb26875Config) -> dict[bytes, Transmitter]:
    """All of them, by address."""
    zone = parse_zone(config.time_zone)
    window = SourceWindow(config.max_past_s, config.max_future_s)
    made = [Transmitter(one, zone, window) for one in config.devices]
    return {one.address: one for one in made}
