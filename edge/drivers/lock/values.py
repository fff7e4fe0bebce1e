"""A lock as a device: its channels, and a sample of what it last said of itself."""

from __future__ import annotations

from edge.drivers.lock.config import LockDevice
from edge.drivers.lock.orders import COMMANDS
from edge.locks.lock_client import LockClient
from firmware_bridges.lock.gatt import Shown
from tocsin.contract.catalogue import TypeCode, Value
from tocsin.sdk import Channel, DeviceSpec, Sample

_FLAGS = {
    "door_open": Shown.DOOR_OPEN,
    "tamper": Shown.TAMPER,
    "jammed": Shown.JAMMED,
    "locked_out": Shown.LOCKED_OUT,
}
_NUMBERS: dict[str, tuple[str, TypeCode]] = {
    "battery": ("%", "f"),
    "time_quality": ("1", "i"),
    "log_events": ("1", "i"),
    "rssi": ("{dBm}", "f"),
}


def spec_of(device: LockDevice, period_s: float) -> DeviceSpec:
    """The device as it is announced, before anything was heard of it."""
    channels = [Channel(name, "1", "b") for name in ("locked", *_FLAGS)]
    channels += [Channel(name, unit, code) for name, (unit, code) in _NUMBERS.items()]
    return DeviceSpec(
        device.id, "lock", tuple(channels), period_s, model=device.model, commands=COMMANDS
    )


def sample_of(spec: DeviceSpec, lock: LockClient, rssi_dbm: int | None, now_ns: int) -> Sample:
    """Everything the lock vouched for; what only its advertisement says is left out, for anyone can send one."""
    state, shown = lock.state, lock.shown or Shown(0)
    battery = None if state.battery_percent is None else float(state.battery_percent)
    numbers: tuple[Value, ...] = (
        battery,
        state.time_quality,
        state.log_seq,
        None if rssi_dbm is None else float(rssi_dbm),
    )
    flags = tuple(flag in shown for flag in _FLAGS.values())
    return Sample(spec, now_ns, (bool(state.bolt_out), *flags, *numbers))
