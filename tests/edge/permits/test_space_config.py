"""`[permits]` and `[[spaces]]`: mistakes are named, a wrong space leaves the rest running, and a siren behind a file sounds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.config import OutputConfig, load_gateway, load_right_sections
from edge.outputs import FileOutput
from edge.permits.options import SirenConfig, SpaceConfig
from edge.permits.siren import Siren
from tests.edge.permits.conftest import plant_toml
from tocsin.errors import ConfigError
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

RIGHT = plant_toml(1502, 1503, 1883)

OTHER = '[[spaces]]\nid = "well-8"\ngas = ["gas-01"]\nlocks = ["gas-01"]\n'


def mistakes(folder: Path, toml: str) -> str:
    path = folder / "gateway.toml"
    path.write_text(toml, "utf-8")
    with pytest.raises(ConfigError) as told:
        load_gateway(path)
    return told.value.message


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('gas = ["gas-01"]', 'gas = ["gas-1"]', "did you mean 'gas-01'?"),
        ('gas = ["gas-01"]', "gas = []", "spaces"),
        ('gas = ["gas-01"]', 'gas = ["gas-01"]\nlocks = ["hatch-9"]', "no device of this file"),
        ('gas = ["gas-01"]', 'gas = ["gas-01"]\nventilation = "siren-01/relay_9"', "siren-01 gives"),
        ('gas = ["gas-01"]', 'gas = ["gas-01"]\nventilation = "fan"', "ventilation"),
        ('command = "relay-1"', 'command = "relay-11"', "did you mean 'relay-1'?"),
        ("off = { state = 0 }", "off = { state = 1 }", "are the same"),
        ('device = "siren-01", command = "relay-1", ', 'output = "horn", ', "no [[outputs]] has this name"),
        ("[permits]", '[permits]\nlisten = "0.0.0.0:8443"', "tocsin provision page"),
        ("[permits]", '[permits]\nlisten = "127.0.0.1:8443"\ncert = "a.pem"', "belong together"),
        ('gas = ["gas-01"]\n', f'gas = ["gas-01"]\nlocks = ["gas-01"]\n{OTHER}', "space well-7 has it"),
        ("[permits]", '[[spaces]]\nid = "well-7"\ngas = ["gas-01"]\n[permits]', "already used above"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    assert right in RIGHT
    assert told in mistakes(tmp_path, RIGHT.replace(right, wrong))


def test_a_wrong_space_is_left_out_and_the_rest_runs(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(RIGHT + '[[spaces]]\nid = "tank-1"\ngas = ["nothing"]\n', "utf-8")
    loaded = load_right_sections(path)
    assert [space.id for space in loaded.value.spaces] == ["well-7"]
    assert len(loaded.left_out) == 1
    assert loaded.value.permits is not None


async def test_a_siren_behind_a_file_sounds_whatever_the_alarms_say(tmp_path: Path) -> None:
    place = tmp_path / "horn"
    output = FileOutput(OutputConfig(name="horn", path=place))
    told: list[tuple[bool, str]] = []
    siren = Siren(
        SpaceConfig(id="well-7", gas=("gas-01",), siren=SirenConfig(output="horn")),
        SystemClock(),
        lambda _: None,
        lambda name: output if name == "horn" else None,
        lambda: output.follow(()),
        lambda space, ok, text: told.append((ok, text)),
    )
    running = asyncio.create_task(siren.run())
    await wait_until(lambda: place.exists() and place.read_text() == "off\n")
    siren.want(True)
    await wait_until(lambda: place.read_text() == "on\n")
    output.follow(())  # the alarms have nothing to say
    assert place.read_text() == "on\n"
    await wait_until(lambda: siren.is_on)
    siren.want(False)
    await wait_until(lambda: place.read_text() == "off\n")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (True, "on") in told
