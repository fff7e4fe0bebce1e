"""A real gateway.toml with ten mistakes: exactly ten problems, each on its line, fields and references alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import load_gateway
from tocsin.errors import ConfigError

TEN = """\
schema = 1
[gateway]
id = "GW 1"                       # 1: not a name
site = "plant-7"
data_dir = "data"
[uplink]
host = "broker.example"
port = 70000                      # 2: out of range
passwort = "hunter2"              # 3: no such key
codec = "json"                    # 4: not one of them
[outbox]
commit_interval_ms = "often"      # 5: not a number
[[drivers]]
type = "modubs"                   # 6: no such driver
name = "line-1"
[[drivers]]
type = "nmea"
name = "gps"
device = "pump-12"
port = "/dev/ttyUSB0"
[[checks]]
device = "pump-12"
quantity = "sped"                 # 7: the device gives no such quantity
range = [0, 70]
[[alarms]]
device = "pmup-12"                # 8: no such device
quantity = "speed"
level1 = 30
[[outputs]]
name = "siren"
path = "siren"
min_level = 3                     # 9: 1 or 2
[[outputs]]
name = "horn"
path = "horn"
[[outputs]]
name = "horn"                     # 10: used twice
path = "other"
"""


def problems(tmp_path: Path, text: str) -> ConfigError:
    file = tmp_path / "gateway.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_gateway(file)
    return caught.value


def test_ten_mistakes_of_a_gateway_are_ten_problems(tmp_path: Path) -> None:
    error = problems(tmp_path, TEN)
    expected = [n for n, line in enumerate(TEN.splitlines(), 1) if "  # " in line]
    assert [p.line for p in error.problems] == expected, str(error)
    assert len(error.problems) == 10
    assert "hunter2" not in str(error)


def test_a_device_of_a_driver_that_is_itself_wrong_is_not_called_unknown(tmp_path: Path) -> None:
    text = """\
schema = 1
[gateway]
id = "gw-1"
site = "plant-7"
data_dir = "data"
[[drivers]]
type = "nmea"
name = "gps"
device = "pump-12"
port = "/dev/ttyUSB0"
baud = "fast"
[[alarms]]
device = "pump-*"
quantity = "speed"
level1 = 30
"""
    (problem,) = problems(tmp_path, text).problems
    assert problem.line in (7, 11)
