"""`tocsin plugins` and `tocsin sample`."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.cli.foreign import lay_out
from tocsin.cli.plugins import GROUPS
from tocsin.cli.root import dispatch
from tocsin.sdk.driver import driver_names, load_driver
from tocsin.sdk.plugins import PluginError

FILES = {
    "acme_drivers/__init__.py": "",
    "acme_drivers/broken.py": "1 / 0 if False else nothing_here\n",
    "acme_drivers/needy.py": "import a_package_nobody_has\n",
    "acme_drivers/old.py": "class Driver:\n    sdk = 0\n",
}
POINTS = {
    "tocsin.drivers": {
        "acme-broken": "acme_drivers.broken:Driver",
        "acme-needy": "acme_drivers.needy:Driver",
        "acme-old": "acme_drivers.old:Driver",
    }
}


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three drivers of another distribution, none of which works."""
    monkeypatch.syspath_prepend(str(lay_out(tmp_path / "site", "acme-drivers", FILES, POINTS)))


def test_it_lists_everything_that_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["plugins", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = {(k, p.name) for k, g in GROUPS.items() for p in entry_points(group=g)}
    assert {(p["kind"], p["name"]) for p in found} == expected
    assert {p["state"] for p in found} == {"ok"}
    assert all(p["distribution"] and p["version"] for p in found)


@pytest.mark.usefixtures("acme")
def test_it_says_why_a_plug_in_of_somebody_else_does_not_load(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert dispatch(["plugins", "--kind", "driver", "--json"]) == 9
    found = {p["name"]: p for p in json.loads(capsys.readouterr().out)}
    assert found["modbus"]["state"] == "ok"
    assert found["acme-broken"]["state"] == "broken"
    assert "NameError: name 'nothing_here'" in found["acme-broken"]["error"]
    assert found["acme-needy"]["state"] == "needs-package"
    assert found["acme-needy"]["hint"] == "pip install a_package_nobody_has"
    assert "version 0 of the driver SDK" in found["acme-old"]["error"]
    assert (found["acme-old"]["distribution"], found["acme-old"]["version"]) == (
        "acme-drivers",
        "1.2.3",
    )
    assert dispatch(["plugins", "--kind", "driver"]) == 9
    told = capsys.readouterr().out
    assert "acme-broken  acme-drivers  1.2.3    NO" in told
    assert "acme-needy   acme-drivers  1.2.3    not installed" in told


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("name", ["acme-broken", "acme-needy", "acme-old"])
def test_a_driver_that_does_not_load_is_one_clear_error(name: str) -> None:
    with pytest.raises(PluginError, match=name):
        load_driver(name)


@pytest.mark.parametrize("driver", sorted(driver_names()))
def test_a_sample_is_ready_to_paste(driver: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["sample", driver]) == 0
    text = capsys.readouterr().out
    assert {table["type"] for table in tomllib.loads(text)["drivers"]} == {driver}
    assert dispatch(["sample", driver, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"driver": driver, "sample": text}


def test_samples_are_listed_and_the_nearest_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["sample"]) == 0
    assert capsys.readouterr().out.split() == sorted(driver_names())
    assert dispatch(["sample", "modbsu"]) == 4
    assert "did you mean 'modbus'?" in capsys.readouterr().err
