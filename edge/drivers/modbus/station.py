"""One device on a Modbus line: what it is asked."""

from __future__ import annotations

from edge.drivers.modbus.config import ModbusConfig, ModbusDevice
from edge.drivers.modbus.plan import sync_block
from edge.drivers.modbus.scan import Scan
from edge.rota import Turn
from tocsin.sdk import DeviceSpec


class Station(Turn):
    """Mutable state of one device."""

    def __init__(self, config: ModbusConfig, device: ModbusDevice) -> None:
        super().__init__(
            period_s=device.period_s,
            timeout_s=device.timeout_s or config.timeout_s,
            backoff_max_s=config.backoff_max_s,
        )
        self.device = device
        profile = device.effective_profile()
        self.scan = Scan(profile)
        self.sync = sync_block(profile, self.scan.blocks)
        self.spec = DeviceSpec(
            id=device.id,
            measurement=profile.profile.measurement,
            channels=self.scan.channels,
            period_s=device.period_s,
            model=profile.profile.model or profile.profile.title,
        )
        self.unsure = False  # an answer to a request that was given up may still come
