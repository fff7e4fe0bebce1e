"""The driver's configuration: mistakes are told with their key, overrides reach the profile."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import edge.drivers.modbus
from edge.drivers.modbus.config import ModbusConfig
from edge.drivers.modbus.driver import ModbusDriver
from edge.drivers.modbus.scan import Scan
from tocsin.sdk import DriverContext

GOOD: dict[str, Any] = {
    "type": "modbus",
    "name": "line",
    "rtu": {"port": "/dev/ttyUSB0"},
    "devices": [{"id": "gas-01", "unit_id": 1, "profile": "four-gas-head"}],
}


def _with(**changes: object) -> dict[str, Any]:
    return {key: value for key, value in {**GOOD, **changes}.items() if value is not None}


def _device(**changes: object) -> dict[str, Any]:
    return _with(devices=[{**GOOD["devices"][0], **changes}])


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (_with(rtu=None), "exactly one of `rtu` and `tcp`"),
        (_with(tcp={"host": "10.0.0.2"}), "exactly one of `rtu` and `tcp`"),
        (_with(devices=[]), "at least one"),
        (_with(devices=GOOD["devices"] * 2), "another device has this name"),
        (_device(unit_id=0), "broadcasts"),
        (_device(unit_id=300), "255"),
        (_device(profile="for-gas-head"), "four-gas-head"),
        (_device(points={"h2o": {"scale": 2}}), "not a quantity of this profile"),
        (_device(points={"h2s": {"unit": "Cel"}}), "does not convert"),
        (_device(points={"h2s": {"sclae": 2}}), "Extra inputs"),
        (_device(period_s=0), "greater than 0"),
        (_with(speed=9600), "Extra inputs"),
    ],
)
def test_a_mistake_says_what_is_allowed(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModbusConfig.model_validate(raw)
    assert says in str(caught.value)


def test_a_device_can_change_points_and_measurement_of_its_profile() -> None:
    points = {"h2s": {"unit": "[ppb]", "scale": 10.0}}
    config = ModbusConfig.model_validate(_device(points=points, measurement="my_gas"))
    scan = Scan(config.devices[0].effective_profile())
    h2s = next(c for c in scan.channels if c.quantity == "h2s")
    assert (h2s.unit, h2s.scale) == ("[ppb]", 10.0)
    assert scan.profile.profile.measurement == "my_gas"


def test_a_profile_path_starts_at_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'schema = 1\n[profile]\nname = "mine"\nmeasurement = "gas"\n'
        '[[points]]\nquantity = "co"\naddress = 7\nunit = "[ppm]"\n',
        "utf-8",
    )
    raw = _device(profile="./mine.toml")
    config = ModbusConfig.model_validate(raw, context={"dir": tmp_path})
    assert config.devices[0].profile.points[0].address == 7


def test_the_pause_is_three_and_a_half_characters_and_never_below_the_standards_least() -> None:
    slow = ModbusConfig.model_validate(_with(rtu={"port": "x", "baudrate": 4800}))
    fast = ModbusConfig.model_validate(_with(rtu={"port": "x", "baudrate": 115_200}))
    assert slow.pause_s == pytest.approx(3.5 * 11 / 4800)
    assert fast.pause_s == 0.00175
    assert ModbusConfig.model_validate(_with(rtu=None, tcp={"host": "h"})).pause_s == 0.0


def test_the_sample_configuration_is_sound(heard: Any) -> None:
    path = Path(edge.drivers.modbus.__file__).with_name("sample.toml")
    context: DriverContext = heard.context
    for raw in tomllib.loads(path.read_text("utf-8"))["drivers"]:
        driver = ModbusDriver(ModbusConfig.model_validate(raw), context)
        assert driver.devices


def test_the_reference_page_names_every_setting_and_profile() -> None:
    page = Path(__file__).parents[4] / "docs" / "reference" / "drivers" / "modbus.md"
    text = page.read_text("utf-8")
    schema = ModbusConfig.model_json_schema()
    names = set(schema["properties"])
    for table in schema["$defs"].values():
        names |= set(table.get("properties", {}))
    from firmware_bridges.modbus.profile import Profile
    from firmware_bridges.modbus.profiles import profile_names

    for table in Profile.model_json_schema()["$defs"].values():
        names |= set(table.get("properties", {}))
    missing = [name for name in {*names, *profile_names()} if f"`{name}`" not in text]
    assert missing == []


def test_no_device_has_the_number_for_broadcasts_where_frames_are_those_of_a_line() -> None:
    zero = {"id": "d", "unit_id": 0, "profile": "relay-8"}
    for where in ({"rtu": {"port": "x"}}, {"tcp": {"host": "h", "framing": "rtu"}, "rtu": None}):
        with pytest.raises(ValidationError, match="broadcasts"):
            ModbusConfig.model_validate(_with(devices=[zero], **where))
    tcp = _with(devices=[zero], tcp={"host": "h"}, rtu=None)
    assert ModbusConfig.model_validate(tcp).devices[0].unit_id == 0
