"""Device profiles: the shipped ones are sound, and mistakes are named with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridges.modbus.image import RegisterImage
from firmware_bridges.modbus.profiles import load_profile, profile_names
from tocsin.errors import ConfigError

GOOD = """\
schema = 1

[profile]
name = "mine"
measurement = "gas"

[[points]]
quantity = "h2s"
address = 4
unit = "[ppm]"
"""


def test_at_least_eight_profiles_are_shipped_and_each_is_named_as_its_file() -> None:
    assert len(profile_names()) >= 8
    for name in profile_names():
        assert load_profile(name).profile.name == name


@pytest.mark.parametrize(
    ("wrong", "line", "says"),
    [
        ('unit = "ppm"', 10, "unknown unit"),
        ('unit = "Cel"', 10, "does not convert"),
        ("address = 70000", 9, "65535"),
        ('typ = "f32"', 11, "type"),
        ("function = 1", 7, "bit"),
        ('scale = "ten"', 11, "number"),
        ('loop = { lo = 0, hi = 100, unit = "[ppm]" }', 7, "mA"),
        ('quantity = "H2S"', 8, "lower-case"),
    ],
)
def test_a_mistake_in_a_profile_is_told_with_its_line(
    tmp_path: Path, wrong: str, line: int, says: str
) -> None:
    key = wrong.split(" ")[0]
    kept = [text for text in GOOD.splitlines() if not text.startswith(f"{key} =")]
    at = (
        len(kept)
        if key not in GOOD
        else next(i for i, t in enumerate(GOOD.splitlines()) if t.startswith(key))
    )
    kept.insert(at, wrong)
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(kept) + "\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_profile("./mine.toml", tmp_path)
    assert says in str(caught.value)
    assert f"mine.toml:{line}" in str(caught.value)


def test_an_unknown_profile_names_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match="four-gas-head"):
        load_profile("for-gas-head")


@pytest.mark.parametrize("name", profile_names())
def test_a_register_image_holds_what_it_is_given(name: str) -> None:
    profile = load_profile(name)
    image = RegisterImage(profile)
    wanted = {q: 1.0 for q in image.quantities if q != "loop"}
    image.update(wanted)
    for quantity in wanted:
        assert image.value(quantity) == pytest.approx(1.0, rel=0.02)
