"""The registry on a real state database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from cloud.db import open_engine, upgrade
from cloud.registry import Announced, Edit, Registry, Replacement
from tocsin.errors import NotFoundError
from tocsin.sdk.clock import SystemClock


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    engine = open_engine(tmp_path / "state.db")
    upgrade(engine)
    yield Registry(engine, SystemClock())
    engine.dispose()


GAS = Announced("north", "gas-01", "gas", "gw-1", serial="A1", period_s=1.0, lat=31.2, lon=121.5)


def test_an_announced_device_appears_with_its_hardware(registry: Registry) -> None:
    assert registry.observe([GAS])
    device = registry.get("north", "gas-01")
    assert (device.name, device.kind, device.gateway, device.period_s) == (
        "gas-01",
        "gas",
        "gw-1",
        1.0,
    )
    assert device.current is not None
    assert device.current.serial == "A1"
    assert registry.sites() == ["north"]
    assert not registry.observe([GAS]), "the same again changes nothing"


def test_what_a_person_entered_outlives_every_announcement(registry: Registry) -> None:
    registry.observe([GAS])
    registry.edit(
        "north", "gas-01", Edit("Pump hall", "gas", place="Tank 3", period_s=5.0, serial="A1")
    )
    registry.observe([Announced("north", "gas-01", "gas", "gw-2", period_s=1.0)])
    device = registry.get("north", "gas-01")
    assert (device.name, device.place, device.period_s) == ("Pump hall", "Tank 3", 5.0)
    assert device.gateway == "gw-2", "but which gateway serves it is the gateways' word"


def test_an_untouched_device_follows_its_gateway(registry: Registry) -> None:
    registry.observe([GAS])
    assert registry.observe([Announced("north", "gas-01", "gas", "gw-1", period_s=2.0)])
    device = registry.get("north", "gas-01")
    assert (device.period_s, device.lat) == (2.0, 31.2)


def test_replacing_the_hardware_keeps_its_history(registry: Registry) -> None:
    registry.observe([GAS])
    registry.edit(
        "north",
        "gas-01",
        Edit(
            "g",
            "gas",
            serial="A1",
            calibrated_on=date(2026, 1, 2),
            calibration_due=date(2026, 7, 2),
        ),
    )
    device = registry.replace_hardware("north", "gas-01", Replacement("B2", note="sensor worn"))
    new, old = device.hardware
    assert (new.serial, new.removed_ns, new.calibrated_on) == ("B2", None, None)
    assert (old.serial, old.calibrated_on) == ("A1", date(2026, 1, 2))
    assert old.removed_ns == new.installed_ns
    assert registry.devices() == [device]


def test_a_device_may_be_entered_before_it_is_ever_heard_of(registry: Registry) -> None:
    registry.edit("south", "rain-1", Edit("Roof", "weather", serial="R1"))
    assert [d.device for d in registry.devices()] == ["rain-1"]


def test_the_same_id_at_two_sites_is_two_devices(registry: Registry) -> None:
    registry.observe([GAS, Announced("south", "gas-01", "gas", "gw-9")])
    assert len(registry.devices()) == 2


def test_an_unknown_device_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFoundError):
        registry.get("north", "nothing")
    with pytest.raises(NotFoundError):
        registry.replace_hardware("north", "nothing", Replacement("x"))
