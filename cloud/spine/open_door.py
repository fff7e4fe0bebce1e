"""The store that `[store]` names."""

from __future__ import annotations

from sqlalchemy import Engine

from cloud.config import CloudConfig, LocalStoreSection
from cloud.spine.doors import Door, LocalDoor
from tocsin.sdk import Clock


def open_door(config: CloudConfig, engine: Engine, clock: Clock) -> Door:
    """Open it; an InfluxDB that is away is no mistake, it is tried again for as long as it takes.

    Raises:
        StoreError: it cannot be opened.
    """
    section = config.store
    if isinstance(section, LocalStoreSection):
        return LocalDoor(config, section, clock)
    from cloud.spine.influx_door import InfluxDoor

    return InfluxDoor(section, engine, clock)
