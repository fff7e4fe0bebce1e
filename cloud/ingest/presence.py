"""What is known of gateways and devices beside their values: announced, heard of, healthy."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, Engine, insert, select, update

from cloud.db import read, write
from cloud.ingest.last import Last
from cloud.ingest.tables import seen_devices
from cloud.stores import Block
from tocsin.contract.messages import DeviceHealth, Event, Health
from tocsin.errors import StoreUnavailableError


@dataclass(slots=True)
class GatewayState:
    """One registered gateway. Times ending in `_mono` are monotonic nanoseconds of this process."""

    site: str
    online: bool | None = None
    health: Health | None = None
    heard_ns: int = 0
    heard_mono: int = 0


@dataclass(slots=True)
class DeviceState:
    """One device that ever spoke or was announced."""

    site: str
    gateway: str
    device: str
    measurement: str = ""
    period_s: float | None = None
    announced: dict[str, object] = field(default_factory=dict)
    last_time_ns: int = 0
    received_ns: int = 0
    alive_mono: int = 0
    health: DeviceHealth | None = None


class Presence:
    """Written by the ingest thread, read by anyone. Announcements survive a restart in the state database."""

    def __init__(self, engine: Engine, sites: Mapping[str, str], now_mono: int) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._gateways = {g: GatewayState(site, heard_mono=now_mono) for g, site in sites.items()}
        self._devices: dict[tuple[str, str], DeviceState] = {}
        self._owed: dict[tuple[str, str], int] = {}  # announced and not durable: when it came, ns
        with read(engine) as connection:
            for row in connection.execute(select(seen_devices)).mappings():
                self._devices[row["gateway"], row["device"]] = DeviceState(
                    row["site"],
                    row["gateway"],
                    row["device"],
                    row["measurement"],
                    row["period_s"],
                    row["announced"],
                    alive_mono=now_mono,  # after our own start every device gets its time to speak
                )

    def on_health(self, health: Health, received_ns: int, now_mono: int) -> None:
        """A gateway about itself and its devices."""
        with self._lock:
            gateway = self._gateways[health.gateway]
            gateway.health, gateway.heard_ns, gateway.heard_mono = health, received_ns, now_mono
            gateway.online = True
            for told in health.devices:
                device = self._devices.get((health.gateway, told.id))
                if device is None:
                    continue
                device.health = told
                if told.state == "finished" or _is_fresh(told, health.t):
                    device.alive_mono = now_mono

    def on_state(self, gateway: str, online: bool, now_mono: int) -> None:
        """The retained state, or the last will."""
        with self._lock:
            state = self._gateways[gateway]
            state.online = online
            if online:
                state.heard_mono = now_mono

    def on_announced(self, event: Event, received_ns: int, now_mono: int) -> None:
        """`device.announced`: measurement, expected period and whatever else the gateway says of a device.

        It is durable after the next `keep`.
        """
        measurement = event.data.get("measurement")
        period = event.data.get("period_s")
        place = event.gateway, event.device
        with self._lock:
            device = self._devices.get(place)
            if device is None:
                device = DeviceState(event.site, *place, alive_mono=now_mono)
                self._devices[place] = device
                self._owed[place] = received_ns
            before = device.measurement, device.period_s, device.announced
            device.measurement = measurement if isinstance(measurement, str) else device.measurement
            device.period_s = (
                float(period) if isinstance(period, int | float) and period > 0 else None
            )
            device.announced = dict(event.data)
            if before != (device.measurement, device.period_s, device.announced):
                self._owed.setdefault(place, received_ns)

    def keep(self) -> None:
        """Make what was announced durable, all in one commit.

        Raises:
            StoreUnavailableError: nothing is; try again later.
        """
        with self._lock:
            if not self._owed:
                return
            with write(self._engine) as connection:
                for place, received_ns in self._owed.items():
                    device = self._devices[place]
                    if not self._update(connection, device):
                        self._insert(connection, device, received_ns)
            self._owed.clear()

    def on_removed(self, gateway: str, device: str) -> None:
        """`device.removed`: it left the gateway's configuration, so nobody waits for it any more."""
        with self._lock:
            known = self._devices.get((gateway, device))
            if known is not None:
                known.period_s, known.health = None, None
                with write(self._engine) as connection:
                    self._update(connection, known)

    def on_stored(self, blocks: Iterable[Block], received_ns: int, now_mono: int) -> None:
        """Rows of these devices were stored. A new device that cannot be noted now is noted with its next rows."""
        with self._lock:
            for block in blocks:
                place = block.gateway, block.device, block.site
                try:
                    device = self._device(*place, received_ns, now_mono, block.measurement)
                except StoreUnavailableError:
                    continue
                device.received_ns, device.alive_mono = received_ns, now_mono
                if len(block.time_ns):
                    device.last_time_ns = max(device.last_time_ns, int(block.time_ns.max()))

    def on_told(self, row: Last, now_mono: int) -> None:
        """An ingester beside us stored a value of a registered gateway."""
        with self._lock:
            if row.gateway not in self._gateways:
                return
            place = row.gateway, row.device, row.site
            device = self._device(*place, row.received_ns, now_mono, row.measurement)
            device.received_ns, device.alive_mono = row.received_ns, now_mono
            device.last_time_ns = max(device.last_time_ns, row.time_ns)

    def gateways(self) -> dict[str, GatewayState]:
        """Every registered gateway."""
        with self._lock:
            return dict(self._gateways)

    def devices(self) -> list[DeviceState]:
        """Every device that ever spoke or was announced."""
        with self._lock:
            return list(self._devices.values())

    def _device(
        self,
        gateway: str,
        device: str,
        site: str,
        received_ns: int,
        now_mono: int,
        measurement: str = "",
    ) -> DeviceState:
        state = self._devices.get((gateway, device))
        if state is None:
            state = DeviceState(site, gateway, device, measurement, alive_mono=now_mono)
            with write(self._engine) as connection:
                self._insert(connection, state, received_ns)
            self._devices[gateway, device] = state
        elif measurement and not state.measurement:
            state.measurement = measurement
        return state

    @staticmethod
    def _insert(connection: Connection, device: DeviceState, received_ns: int) -> None:
        connection.execute(
            insert(seen_devices).values(
                gateway=device.gateway,
                device=device.device,
                site=device.site,
                first_ns=received_ns,
                **_kept(device),
            )
        )

    @staticmethod
    def _update(connection: Connection, device: DeviceState) -> bool:
        """Whether it is there."""
        mine = (seen_devices.c.gateway == device.gateway) & (seen_devices.c.device == device.device)
        done = connection.execute(update(seen_devices).where(mine).values(**_kept(device)))
        return bool(done.rowcount)


def _kept(device: DeviceState) -> dict[str, object]:
    return {
        "measurement": device.measurement,
        "period_s": device.period_s,
        "announced": msgspec.to_builtins(device.announced),
    }


def _is_fresh(told: DeviceHealth, health_t: int) -> bool:
    """A gateway that left out readings inside the dead-band still says when it read the device."""
    if told.state != "ok" or told.last_ok_ns is None:
        return False
    window_s = max(2.0 * (told.period_s or 0.0), 5.0)
    return health_t - told.last_ok_ns < window_s * 1e9
