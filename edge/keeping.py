"""Where a gateway keeps what it must not lose: on its disk, or in memory as long as that refuses at the start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from edge.config import GatewayConfig
from edge.durable import write_durably
from edge.outbox import Outbox, stand_in
from edge.outbox.database import FILE, DirectoryLock
from tocsin.errors import OutboxError, OutboxLockedError
from tocsin.sdk import Clock

ALARMS = "alarms.json"
_LOOK_EVERY_S = 2.0
_log = logging.getLogger("edge")


async def open_outbox(config: GatewayConfig, clock: Clock, power_on: str) -> Outbox:
    """The outbox in `data_dir`; one in memory when the disk is read-only, full or broken.

    Raises:
        OutboxLockedError: another agent has it.
        OutboxError: it belongs to another gateway or a newer version, or cannot be opened for another reason.
    """
    directory = config.gateway.data_dir / "outbox"
    opening = partial(
        Outbox.open,
        site=config.gateway.site,
        gateway=config.gateway.id,
        clock=clock,
        codec=config.uplink.codec if config.uplink else "jn",
        power_on=power_on,
    )
    try:
        outbox = await opening(directory, options=config.outbox)
    except OutboxError as exc:
        if not await asyncio.to_thread(stand_in.is_needed, directory, exc.__cause__):
            raise
        place = await asyncio.to_thread(_memory, directory, exc)
        outbox = await opening(place, options=stand_in.smaller(config.outbox))
        await _stand_in(outbox, directory, exc)
        return outbox
    try:
        await _bring_back(outbox, directory)
    except OutboxLockedError:
        await outbox.aclose()
        raise
    except (OutboxError, OSError) as exc:  # at the next start again
        _log.error("what was kept in memory is not on the disk yet: %s", exc)
    return outbox


def alarm_file(outbox: Outbox) -> Path:
    """Where the states of alarms lie: with the outbox."""
    return (
        outbox.directory.parent / ALARMS
        if outbox.stands_in_for is None
        else outbox.directory / ALARMS
    )


async def disk_returns(outbox: Outbox, clock: Clock, told: Callable[[], None]) -> None:
    """Call `told` once the disk that `outbox` stands in for can be written; never for one on its own disk."""
    directory = outbox.stands_in_for
    if directory is None:
        return
    while not await asyncio.to_thread(stand_in.disk_takes, directory):
        await clock.sleep(_LOOK_EVERY_S)
    _log.warning("%s can be written again", directory)
    told()


def _memory(directory: Path, error: OutboxError) -> Path:
    try:
        place = stand_in.place(directory)
        if place is None:
            raise error
    except OSError:
        raise error from None
    mine = place / ALARMS
    if not mine.exists():
        with suppress(OSError):
            mine.write_bytes((directory.parent / ALARMS).read_bytes())
    return place


async def _stand_in(outbox: Outbox, directory: Path, error: OutboxError) -> None:
    outbox.stands_in_for = directory
    text = f"{error.message}; everything is kept in memory until the disk can be written: a power cut loses it"
    _log.error("%s", text)
    await outbox.distrust_commands()
    await outbox.put_event("outbox.in-memory", "", text)


async def _bring_back(outbox: Outbox, directory: Path) -> None:
    place = await asyncio.to_thread(stand_in.left, directory)
    if place is None:
        return
    lock = DirectoryLock(place)
    try:
        rows = await outbox.bring_back(place / FILE)
        alarms = place / ALARMS
        if alarms.exists():
            await asyncio.to_thread(write_durably, directory.parent / ALARMS, alarms.read_bytes())
        text = f"{rows} rows that were kept in memory are on the disk now"
        await outbox.put_event("outbox.on-disk-again", "", text, {"rows": rows})
        await asyncio.to_thread(stand_in.remove, place)
    finally:
        lock.close()
    _log.warning("%s", text)
