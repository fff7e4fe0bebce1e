"""What a driver author imports."""

from tocsin.sdk.clock import Clock, SystemClock
from tocsin.sdk.driver import Driver, DriverConfig, DriverContext, ProbeLine, load_driver
from tocsin.sdk.samples import Channel, DeviceSpec, Sample, SourceWindow

__all__ = [
    "Channel",
    "Clock",
    "DeviceSpec",
    "Driver",
    "DriverConfig",
    "DriverContext",
    "ProbeLine",
    "Sample",
    "SourceWindow",
    "SystemClock",
    "load_driver",
]
