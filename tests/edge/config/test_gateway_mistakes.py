"""gateway.toml: every mistake at once, at its line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import load_gateway
from tocsin.errors import ConfigError

TEN = """schema = 1
[gateway]
id = "Plant Gateway"
site = "plant"
data_dir = "data"
colour = "red"
[uplink]
host = "broker"
port = 99999
codec = "xml"
[outbox]
fsnyc = "batch"
[[drivers]]
type = "modbuss"
name = "heads"
[[checks]]
device = "gas-01"
quantity = "h2s"
range = [100, 0]
[[alarms]]
device = "gas-01"
quantity = "h2s"
direction = "up"
level1 = "ten"
[[outputs]]
name = "siren"
path = "siren"
min_level = 3
"""

HEAD = """schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"
[[drivers]]
type = "modbus"
name = "heads"
tcp = { host = "127.0.0.1" }
devices = [{ id = "gas-01", unit_id = 1, profile = "four-gas-head" }]
"""


def problems(tmp_path: Path, text: str) -> list[tuple[int, str, str, str]]:
    """(line, key, allowed, nearest) of each mistake."""
    path = tmp_path / "gateway.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_gateway(path)
    return [(p.line, p.key, p.allowed, p.nearest) for p in caught.value.problems]


def test_ten_mistakes_are_ten_lines(tmp_path: Path) -> None:
    found = problems(tmp_path, TEN)
    assert [(line, key) for line, key, _, _ in found] == [
        (3, "gateway.id"),
        (6, "gateway.colour"),
        (9, "uplink.port"),
        (10, "uplink.codec"),
        (12, "outbox.fsnyc"),
        (14, "drivers[0].type"),
        (16, "checks[0]"),
        (23, "alarms[0].direction"),
        (24, "alarms[0].level1"),
        (28, "outputs[0].min_level"),
    ]
    nearest = {key: near for _, key, _, near in found if near}
    assert nearest["outbox.fsnyc"] == "fsync"
    assert nearest["drivers[0].type"] == "modbus"


def test_a_rule_for_a_device_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    text = HEAD + '[[alarms]]\ndevice = "gas-02"\nquantity = "h2s"\nlevel1 = 10\n'
    assert problems(tmp_path, text) == [
        (12, "alarms[0].device", "no device of this file has this id", "gas-01")
    ]


def test_a_rule_for_a_quantity_the_device_does_not_give_lists_what_it_gives(tmp_path: Path) -> None:
    text = HEAD + '[[checks]]\ndevice = "gas-*"\nquantity = "h2"\nrange = [0, 100]\n'
    (found,) = problems(tmp_path, text)
    assert found[:2] == (13, "checks[0].quantity")
    assert "h2s" in found[2]
    assert found[3] == "h2s"


def test_two_rules_of_one_name_for_one_device_are_a_mistake(tmp_path: Path) -> None:
    alarm = '[[alarms]]\ndevice = "gas-01"\nquantity = "h2s"\nlevel1 = 10\n'
    assert problems(tmp_path, HEAD + alarm + alarm) == [
        (15, "alarms[1]", "gas-01 h2s-high is judged above", "")
    ]


def test_an_exact_device_wins_over_a_pattern_wherever_it_stands(tmp_path: Path) -> None:
    from edge.survey import survey

    general = '[[alarms]]\ndevice = "gas-*"\nquantity = "h2s"\nlevel1 = 10\n'
    own = '[[alarms]]\ndevice = "gas-01"\nquantity = "h2s"\nlevel1 = 5\n'
    for i, text in enumerate((general + own, own + general)):
        path = tmp_path / f"gateway-{i}.toml"
        path.write_text(HEAD + text, "utf-8")
        assert [a.level1 for a in survey(load_gateway(path)).alarms] == [5]


def test_names_of_drivers_devices_and_outputs_are_unique(tmp_path: Path) -> None:
    driver = HEAD[HEAD.index("[[drivers]]") :]
    outputs = '[[outputs]]\nname = "siren"\npath = "a"\n' * 2
    keys = [key for _, key, _, _ in problems(tmp_path, HEAD + driver + outputs)]
    assert keys == ["drivers[1]", "drivers[1].name", "outputs[1].name"]


@pytest.mark.parametrize(
    ("alarm", "said"),
    [
        ("level1 = 15\nlevel2 = 10", "level2 lies above level1"),
        ('direction = "low"\nlevel1 = 18\nlevel2 = 19.5', "level2 lies below level1"),
    ],
)
def test_levels_stand_in_the_order_of_danger(tmp_path: Path, alarm: str, said: str) -> None:
    text = HEAD + f'[[alarms]]\ndevice = "gas-01"\nquantity = "h2s"\n{alarm}\n'
    (found,) = problems(tmp_path, text)
    assert said in found[2]


def test_a_right_file_tells_what_is_probably_not_meant(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(HEAD, "utf-8")
    loaded = load_gateway(path)
    assert loaded.value.gateway.data_dir == tmp_path / "data"
    assert loaded.value.socket == tmp_path / "data" / "control.sock"
    assert [w for w in loaded.warnings if "no [[alarms]]" in w and "gas-01" in w]
    assert [w for w in loaded.warnings if "[uplink]" in w]


def test_a_serial_port_of_two_drivers_is_a_mistake_and_one_server_of_two_is_none(
    tmp_path: Path,
) -> None:
    def table(name: str, unit: int, link: str) -> str:
        device = f'devices = [{{ id = "gas-{unit}", unit_id = {unit}, profile = "four-gas-head" }}]'
        return f'[[drivers]]\ntype = "modbus"\nname = "{name}"\n{link}\n{device}\n'

    serial, server = 'rtu = { port = "/dev/ttyUSB0" }', 'tcp = { host = "10.0.0.9" }'
    head = HEAD.partition("[[drivers]]")[0]
    text = head + table("one", 1, serial) + table("two", 2, serial)
    found = problems(tmp_path, text)
    assert [(line, allowed) for line, _, allowed, _ in found] == [
        (11, "driver one has this port; all devices of a line belong into one driver")
    ]
    path = tmp_path / "gateway.toml"
    path.write_text(head + table("one", 1, server) + table("two", 2, server), "utf-8")
    assert load_gateway(path).value.drivers
