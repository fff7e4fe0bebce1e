"""What a driver author imports."""

from tocsin.sdk.clock import Clock, SystemClock
from tocsin.sdk.codec import Describe, FrameInput, codec_names, load_codec
from tocsin.sdk.driver import (
    SDK_VERSION,
    Direction,
    Driver,
    DriverConfig,
    DriverContext,
    Endpoint,
    ProbeLine,
    TakesChanges,
    TakesCommands,
    load_driver,
)
from tocsin.sdk.plugins import PluginError
from tocsin.sdk.samples import Argument, Channel, CommandSpec, DeviceSpec, Sample, SourceWindow

__all__ = [
    "SDK_VERSION",
    "Argument",
    "Channel",
    "Clock",
    "CommandSpec",
    "Describe",
    "DeviceSpec",
    "Direction",
    "Driver",
    "DriverConfig",
    "DriverContext",
    "Endpoint",
    "FrameInput",
    "PluginError",
    "ProbeLine",
    "Sample",
    "SourceWindow",
    "SystemClock",
    "TakesChanges",
    "TakesCommands",
    "codec_names",
    "load_codec",
    "load_driver",
]
