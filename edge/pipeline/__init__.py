"""From samples to judged rows and alarm transitions. Pure: state, sample, now -> state, effects."""

from edge.pipeline.board import AlarmBoard, sounding
from edge.pipeline.pipeline import DeviceJudge, Output, Pipeline
from edge.pipeline.rules import AlarmRule, CheckRule, VehicleRule
from edge.pipeline.stamps import ClockStep

__all__ = [
    "AlarmBoard",
    "AlarmRule",
    "CheckRule",
    "ClockStep",
    "DeviceJudge",
    "Output",
    "Pipeline",
    "VehicleRule",
    "sounding",
]
