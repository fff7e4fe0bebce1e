"""Configurations that the cloud sends: kept beside the gateway's own file, tried, and rolled back without the cloud."""

from edge.remote.desk import RemoteDesk
from edge.remote.sources import Sources

__all__ = ["RemoteDesk", "Sources"]
