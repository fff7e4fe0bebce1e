"""Following the spine: what is said when it is away."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.api.follow import follow_devices
from cloud.api.services import Services
from cloud.config import CloudConfig
from cloud.db import open_engine, upgrade
from cloud.rpc import SpineServer
from cloud.web import build
from tocsin.sdk import SystemClock


class Steps(SystemClock):
    """Each pause of who follows ends when the test says so."""

    def __init__(self) -> None:
        self.begun, self.over = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.begun.set()
        await self.over.wait()
        self.over.clear()

    async def round(self) -> None:
        """Until the next look is over."""
        self.begun.clear()
        self.over.set()
        await self.begun.wait()


async def test_one_miss_is_no_news_and_an_absence_is_said_once_and_its_end_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = CloudConfig.model_validate({"schema": 1, "cloud": {"data_dir": tmp_path}})
    engine = open_engine(config.state_place)
    upgrade(engine)
    parts: Services = build(config, engine).state.services
    clock = Steps()

    def said() -> list[str]:
        return [r.message.split(":")[0] for r in caplog.records if r.name == "tocsin.web.registry"]

    async def devices() -> object:
        return []

    server = SpineServer(config.socket_path, {"devices": devices}, {}, logging.getLogger("test"))
    following = asyncio.create_task(follow_devices(replace(parts, clock=clock)))
    await clock.begun.wait()
    assert said() == []
    for _ in range(3):
        await clock.round()
    assert said() == ["the registry cannot follow the gateways"]
    await server.start()
    for _ in range(2):
        await clock.round()
    assert said() == ["the registry cannot follow the gateways", "the spine answers again"]
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await server.aclose()
    engine.dispose()
