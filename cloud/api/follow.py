"""Keep the registry in step with what gateways announce."""

from __future__ import annotations

import asyncio
import logging

from cloud.api.rows import Row, number, row_of, rows_of, text
from cloud.api.services import Services
from cloud.registry import Announced
from tocsin.errors import TocsinError

EVERY_S = 2.0
SAID_AT = 2  # misses in a row
log = logging.getLogger("tocsin.web.registry")


async def follow_devices(parts: Services) -> None:
    """Every few seconds take in the spine's devices; says once when the spine is gone, once when it is back.

    One miss is no news: at the end of a cloud the spine may be gone a moment earlier.
    """
    misses = 0
    while True:
        try:
            await take_in(parts)
            if misses >= SAID_AT:
                log.warning("the spine answers again")
            misses = 0
        except TocsinError as error:
            misses += 1
            if misses == SAID_AT:
                log.warning("the registry cannot follow the gateways: %s", error)
        await parts.clock.sleep(EVERY_S)


async def take_in(parts: Services) -> None:
    """Put the devices that gateways announce into the registry.

    Raises:
        SpineError: the spine does not answer.
    """
    rows = rows_of(await parts.spine.call("devices"))
    told = [a for a in map(announced, rows) if a is not None]
    if await asyncio.to_thread(parts.registry.observe, told):
        await parts.spine.call("registry_changed")


def announced(row: Row) -> Announced | None:
    """What a device's state says of it; None when it names no device."""
    told = {**row, **row_of(row.get("announced"))}
    if not (text(row, "site") and text(row, "device")):
        return None
    return Announced(
        site=text(row, "site"),
        device=text(row, "device"),
        kind=text(told, "measurement") or text(told, "kind") or "machine",
        gateway=text(row, "gateway"),
        name=text(told, "name"),
        place=text(told, "place"),
        serial=text(told, "serial"),
        lat=number(told, "lat"),
        lon=number(told, "lon"),
        period_s=number(told, "period_s"),
    )
