"""Neighbouring registers are read together, but not across a gap that the device does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.drivers.modbus.driver import ModbusDriver
from tocsin.contract.quality import Quality
from tocsin.testing import wait_until

POINTS = {"ex": 0, "h2s": 1, "co": 10, "o2": 11}


def _profile(folder: Path, name: str, max_gap: int, points: dict[str, int]) -> str:
    head = f'schema = 1\n[profile]\nname = "{name}"\nmeasurement = "bench"\nmax_gap = {max_gap}\n'
    lines = [f'[[points]]\nquantity = "{q}"\naddress = {a}\n' for q, a in points.items()]
    path = folder / f"{name}.toml"
    path.write_text(head + "".join(lines), "utf-8")
    return str(path)


def _blocks(driver: ModbusDriver) -> list[tuple[int, int]]:
    return [(b.address, b.count) for b in driver._stations[0].scan.blocks]


async def test_a_gap_that_the_device_refuses_is_read_around_from_then_on(
    heard: Any, start_line: Any, config: Any, running: Any, tmp_path: Path
) -> None:
    _, port = start_line((1, "counter", _profile(tmp_path, "there", 0, POINTS)), tcp=True)
    wide = _profile(tmp_path, "wide", 20, POINTS)
    settings = config(port, {"id": "d1", "unit_id": 1, "profile": wide, "period_s": 0.05})
    driver = ModbusDriver(settings, heard.context)
    assert _blocks(driver) == [(0, 12)]
    async with running(settings, heard, driver):
        await wait_until(lambda: len(heard.good("d1")) >= 3)
    assert _blocks(driver) == [(0, 2), (10, 2)]
    assert heard.of("d1") == ["available"]
    assert all(sample.quality is None for sample in heard.samples)
    assert (heard.counts["split-reads"], heard.counts["exception-code"]) == (1, 0)


async def test_a_gap_that_the_device_has_is_read_across(
    heard: Any, start_line: Any, config: Any, running: Any, tmp_path: Path
) -> None:
    wide = _profile(tmp_path, "wide", 20, POINTS)
    _, port = start_line((1, "counter", wide), tcp=True)
    settings = config(port, {"id": "d1", "unit_id": 1, "profile": wide, "period_s": 0.05})
    driver = ModbusDriver(settings, heard.context)
    async with running(settings, heard, driver):
        await wait_until(lambda: len(heard.good("d1")) >= 3)
    assert _blocks(driver) == [(0, 12)]
    assert heard.counts["split-reads"] == 0


async def test_a_register_that_the_device_lacks_costs_its_neighbours_nothing(
    heard: Any, start_line: Any, config: Any, running: Any, tmp_path: Path
) -> None:
    _, port = start_line((1, "counter", _profile(tmp_path, "there", 0, POINTS)), tcp=True)
    more = _profile(tmp_path, "more", 0, {**POINTS, "so2": 12})
    settings = config(port, {"id": "d1", "unit_id": 1, "profile": more, "period_s": 0.05})
    driver = ModbusDriver(settings, heard.context)
    async with running(settings, heard, driver):
        await wait_until(lambda: len(heard.samples) >= 3)
    assert _blocks(driver) == [(0, 2), (10, 1), (11, 1), (12, 1)]
    sample = heard.samples[-1]
    assert sample.quality == (0, 0, 0, 0, int(Quality.COMMS))
    assert heard.of("d1") == ["exception-code"]


async def test_a_device_that_has_nothing_of_a_block_is_asked_for_its_parts_only_once(
    heard: Any, start_line: Any, config: Any, running: Any, tmp_path: Path
) -> None:
    _, port = start_line((1, "counter", _profile(tmp_path, "there", 0, POINTS)), tcp=True)
    wrong = _profile(tmp_path, "wrong", 0, {"ex": 100, "h2s": 101})
    device = {"id": "d1", "unit_id": 1, "profile": wrong, "period_s": 0.05}
    settings = config(port, device, backoff_max_s=0.05)
    driver = ModbusDriver(settings, heard.context)
    async with running(settings, heard, driver):
        await wait_until(lambda: heard.counts["exception-code"] >= 3)
    assert _blocks(driver) == [(100, 2)]
    assert driver._stations[0].parts(driver._stations[0].scan.blocks[0]) == ()
    assert heard.good("d1") == []
