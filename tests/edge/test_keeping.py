"""An outbox in memory, and its way back to the disk."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config import GatewayConfig, load_gateway
from edge.keeping import ALARMS, alarm_file, disk_returns, open_outbox
from edge.outbox import Outbox, stand_in
from tests.edge.outbox.test_outbox import alarm, everything, opened, rows, values
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Event
from tocsin.errors import OutboxError, OutboxLockedError
from tocsin.sdk import SystemClock


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    file = tmp_path / "gateway.toml"
    file.write_text(
        'schema = 1\n[gateway]\nid = "gw-1"\nsite = "east"\ndata_dir = "data"\n', "utf-8"
    )
    return load_gateway(file).value


@pytest.fixture
def memory(config: GatewayConfig) -> Iterator[Path]:
    place = stand_in.place(config.gateway.data_dir / "outbox")
    assert place is not None
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def kinds(outbox: Outbox) -> list[str]:
    chunks = await everything(outbox, topics.EVENT)
    return [decode_body(decode_header(c.payload), c.payload, Event).kind for c in chunks]


async def test_what_a_killed_agent_left_in_memory_goes_to_the_disk(
    config: GatewayConfig, memory: Path
) -> None:
    async with opened(config.gateway.data_dir / "outbox") as outbox:
        await outbox.put_rows_durable(rows(10))
    async with opened(memory) as outbox:
        await outbox.put_rows_durable(rows(10, 10))
        await outbox.put_alarms([alarm(1)])
        with pytest.raises(OutboxLockedError):
            await open_outbox(config, SystemClock(), "")
    (memory / ALARMS).write_bytes(b"{}")
    outbox = await open_outbox(config, SystemClock(), "")
    try:
        assert values(await everything(outbox)) == [float(i) for i in range(20)]
        assert outbox.stats().pending_alarms == 1
        assert await kinds(outbox) == ["outbox.on-disk-again"]
        _, since_ns = await outbox.commands()
        assert since_ns > 0, "which commands were carried out before is not known"
        assert stand_in.left(config.gateway.data_dir / "outbox") is None
        assert alarm_file(outbox) == config.gateway.data_dir / ALARMS
        assert alarm_file(outbox).read_bytes() == b"{}"
        await disk_returns(outbox, SystemClock(), pytest.fail)  # it has its own disk
    finally:
        await outbox.aclose()


async def test_only_a_disk_that_refuses_is_stood_in_for(config: GatewayConfig) -> None:
    directory = config.gateway.data_dir / "outbox"
    (directory / "outbox.lock").mkdir(parents=True)
    with pytest.raises(OutboxError, match="cannot be opened"):
        await open_outbox(config, SystemClock(), "")
    for number, needed in ((errno.EROFS, True), (errno.ENOSPC, True), (errno.EACCES, False)):
        assert stand_in.is_needed(directory, OSError(number, "")) == needed
    assert not stand_in.is_needed(directory, sqlite3.OperationalError("no permission"))
    assert not stand_in.is_needed(directory, None)
    assert stand_in.disk_takes(directory)


def test_the_folder_in_memory_is_ours_alone(config: GatewayConfig, memory: Path) -> None:
    assert memory.stat().st_mode & 0o777 == 0o700
    memory.rmdir()
    memory.symlink_to(config.gateway.data_dir)
    try:
        assert stand_in.left(config.gateway.data_dir / "outbox") is None
        with pytest.raises(OSError, match=r"another user|File exists"):
            stand_in.place(config.gateway.data_dir / "outbox")
    finally:
        memory.unlink()
