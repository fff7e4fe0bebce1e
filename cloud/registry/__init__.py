"""Which devices there are: names, places, hardware and its history."""

from __future__ import annotations

from cloud.registry.model import Announced, Device, Edit, Hardware, Replacement
from cloud.registry.registry import Registry

__all__ = ["Announced", "Device", "Edit", "Hardware", "Registry", "Replacement"]
