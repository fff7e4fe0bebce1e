"""The gateway's session with the broker: readings and alarms up, commit-acks and commands down."""

from edge.uplink.guard import CommandGuard
from edge.uplink.uplink import Uplink

__all__ = ["CommandGuard", "Uplink"]
