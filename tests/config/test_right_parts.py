"""A file with mistakes is taken without what holds them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import load_gateway, load_right_sections
from edge.survey import survey
from tocsin.config.lines import key_lines
from tocsin.config.prune import element_of, without
from tocsin.errors import ConfigError

GOOD = """schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"
[[drivers]]
type = "modbus"
name = "line"
tcp = { host = "127.0.0.1" }
[[drivers.devices]]
id = "gas-01"
unit_id = 1
profile = "four-gas-head"
[[drivers.devices]]
id = "gas-02"
unit_id = 2
profile = "four-gas-head"
[[alarms]]
device = "gas-*"
quantity = "h2s"
level1 = 5
[[alarms]]
device = "gas-02"
quantity = "o2"
level1 = 19.5
direction = "low"
"""


def taken(folder: Path, toml: str) -> tuple[list[str], dict[str, int], list[str], list[str]]:
    """(devices, alarms by device, what was left out, their mistakes)."""
    path = folder / "gateway.toml"
    path.write_text(toml, "utf-8")
    with pytest.raises(ConfigError):
        load_gateway(path)
    loaded = load_right_sections(path)
    found = survey(loaded)
    alarms: dict[str, int] = {}
    for rule in found.alarms:
        alarms[rule.device] = alarms.get(rule.device, 0) + 1
    problems = [str(p).removeprefix(f"{path}:") for part in loaded.left_out for p in part.problems]
    return [d.id for d in found.devices], alarms, [p.name for p in loaded.left_out], problems


def test_a_device_goes_alone_and_with_it_the_rules_that_are_for_it_alone(tmp_path: Path) -> None:
    toml = GOOD.replace("unit_id = 2", "unit_id = 1000")
    devices, alarms, left_out, problems = taken(tmp_path, toml)
    assert (devices, alarms) == (["gas-01"], {"gas-01": 1})
    assert left_out == ["drivers[0].devices[1]", "alarms[1]"]
    assert problems[0].startswith("16: drivers[0].devices[1].unit_id = 1000: must be ")
    assert problems[1].startswith('23: alarms[0].device = "gas-02"') or problems[1].startswith(
        '23: alarms[1].device = "gas-02"'
    )


def test_a_driver_without_a_device_left_goes_too(tmp_path: Path) -> None:
    toml = GOOD.replace("unit_id = 2", "unit_id = 1000").replace("unit_id = 1\n", "unit_id = -1\n")
    devices, alarms, left_out, _ = taken(tmp_path, toml)
    assert (devices, alarms) == ([], {})
    assert "drivers[0]" in left_out


@pytest.mark.parametrize(
    ("wrong", "left"),
    [
        ("[[drivers]]\ntype = 'modbsu'\nname = 'x'\n", "drivers[1]"),
        ("[uplink]\nport = 1\n", "uplink"),
        ("[uplnk]\nhost = 'x'\n", "uplnk"),
        ("[[outputs]]\nname = 'Siren!'\npath = 'x'\n", "outputs[0]"),
        ("[commands]\nkey = '${env:NOT_SET_ANYWHERE}'\n", "commands"),
        ("[inputs]\nacknowledge = [{ name = 'b', path = 'b', poll_ms = 0 }]\n",
         "inputs.acknowledge[0]"),
    ],
)  # fmt: skip
def test_the_rest_goes_without_a_wrong_section(tmp_path: Path, wrong: str, left: str) -> None:
    devices, alarms, left_out, _ = taken(tmp_path, GOOD + wrong)
    assert (devices, alarms) == (["gas-01", "gas-02"], {"gas-01": 1, "gas-02": 2})
    assert left_out == [left]


@pytest.mark.parametrize(
    "wrong",
    [
        GOOD.replace('id = "gw-1"', 'id = "GW 1"'),
        GOOD + "[outbox]\nmax_bytes = 1\n",
        GOOD.replace("schema = 1", "schema = 2"),
        GOOD + "[[alarms",
        GOOD.replace('data_dir = "data"\n', "").replace("level1 = 5", 'level1 = "x"'),
    ],
)
def test_nothing_starts_without_the_essential_sections(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(wrong, "utf-8")
    with pytest.raises(ConfigError) as strict:
        load_gateway(path)
    with pytest.raises(ConfigError) as lenient:
        load_right_sections(path)
    assert str(lenient.value) == str(strict.value), "every mistake is told, also the others"


@given(st.lists(st.lists(st.booleans(), max_size=4), max_size=5), st.data())
def test_what_stays_keeps_its_line(shape: list[list[bool]], data: st.DataObject) -> None:
    text, n = "", 0
    for inner in shape:
        text += f"[[a]]\nmark = {(n := n + 1)}\n"
        for _ in inner:
            text += f"[[a.b]]\nmark = {(n := n + 1)}\n"
    raw, lines = tomllib.loads(text), key_lines(text)
    paths = [("a", i) for i in range(len(shape))]
    inner_paths = [("a", i, "b", j) for i, bs in enumerate(shape) for j in range(len(bs))]
    gone = data.draw(st.sets(st.sampled_from([*paths, *inner_paths]))) if paths else set()
    pruned, moved = without(raw, lines, gone)
    numbers = []
    for i, item in enumerate(pruned.get("a", [])):
        for path, table in [
            (("a", i), item),
            *((("a", i, "b", j), t) for j, t in enumerate(item.get("b", []))),
        ]:
            line = moved[(*path, "mark")]
            assert text.splitlines()[line - 1] == f"mark = {table['mark']}"
            numbers.append(table["mark"])
            assert element_of(pruned, (*path, "mark")) == path
    kept = sum(p not in gone for p in paths) + sum(
        p not in gone and p[:2] not in gone for p in inner_paths
    )
    assert len(numbers) == kept
