"""One device on a Modbus line: what it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.drivers.modbus.config import ModbusConfig, ModbusDevice
from edge.drivers.modbus.plan import Block, split, sync_block
from edge.drivers.modbus.scan import Scan, scan_of
from edge.rota import Turn
from firmware_bridges.modbus.orders import Writable, Write, write_of
from firmware_bridges.modbus.values import RegisterType
from tocsin.errors import UsageError
from tocsin.sdk import Argument, CommandSpec, DeviceSpec


class Station(Turn):
    """Mutable state of one device."""

    def __init__(self, config: ModbusConfig, device: ModbusDevice) -> None:
        super().__init__(
            period_s=device.period_s,
            timeout_s=device.timeout_s or config.timeout_s,
            backoff_max_s=config.backoff_max_s,
        )
        self.device = device
        self._profile = profile = device.effective_profile()
        self._whole: set[Block] = set()
        self._read_as(scan_of(profile))
        self.spec = DeviceSpec(
            id=device.id,
            measurement=profile.profile.measurement,
            channels=self.scan.channels,
            period_s=device.period_s,
            model=profile.profile.model or profile.profile.title,
            commands=tuple(map(_spec, profile.commands)),
        )
        self.unsure = False  # an answer to a request that was given up may still come

    def write_of(self, name: str, args: Mapping[str, Any]) -> Write:
        """What one command writes.

        Raises:
            UsageError: no such command, or wrong arguments.
        """
        header = self._profile.profile
        found = next((c for c in self._profile.commands if c.name == name), None)
        if found is None:
            names = ", ".join(c.name for c in self._profile.commands) or "none"
            raise UsageError(
                f"{self.device.id} takes no command {name!r}", hint=f"it takes: {names}"
            )
        return write_of(found, args, word_order=header.word_order, byte_order=header.byte_order)

    def _read_as(self, scan: Scan) -> None:
        self.scan = scan
        self.sync = sync_block(self._profile, scan.blocks)

    def parts(self, block: Block) -> tuple[Block, ...]:
        """Smaller blocks to try for one that the device does not have whole; empty where that cannot help."""
        return () if block in self._whole else split(self._profile, block)

    def keep_whole(self, block: Block) -> None:
        """The device has no part of `block` either: not to be tried again."""
        self._whole.add(block)

    def learn(self, blocks: tuple[Block, ...]) -> bool:
        """Reads these blocks from now on; whether they are others than before."""
        if blocks == self.scan.blocks:
            return False
        self._read_as(Scan(self._profile, blocks))
        return True


def _spec(command: Writable) -> CommandSpec:
    argument = command.argument
    if argument is None:
        return CommandSpec(command.name, command.title)
    if argument.type is RegisterType.BIT:
        told = Argument(argument.name, "flag")
    elif argument.choices:
        told = Argument(argument.name, "text", choices=tuple(c.name for c in argument.choices))
    else:
        unit = "" if argument.unit == "1" else argument.unit
        told = Argument(argument.name, "number", unit, argument.low, argument.high)
    return CommandSpec(command.name, command.title, (told,))
