"""The effective configuration: every setting with its value and origin, and no secret in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.config import load_gateway
from tocsin.cli.root import dispatch
from tocsin.config import settings
from tocsin.config.schema import model_keys

GATEWAY = """schema = 1
[gateway]
id = "gw-1"
site = "${env:TEST_SITE}"
data_dir = "data"
[uplink]
host = "127.0.0.1"
username = "$${not-a-reference}"
password = "${file:password}"
[commands]
key = "${env:TEST_KEY}"
[[drivers]]
type = "jt808"
name = "vehicles"
listen = "127.0.0.1:7611"
auth_secret = "in-the-file-itself"
devices = [{ id = "truck-1", phone = "13800138000", auth_code = "also-secret" }]
[[drivers]]
type = "modbus"
name = "heads"
tcp = { host = "10.0.0.1" }
devices = [{ id = "gas-1", unit_id = 1, profile = "four-gas-head" }]
"""
SECRETS = ("from-the-file", "from-the-environment", "in-the-file-itself", "also-secret")


@pytest.fixture
def gateway_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEST_SITE", "plant")
    monkeypatch.setenv("TEST_KEY", "from-the-environment")
    (tmp_path / "password").write_text("from-the-file\n", "utf-8")
    file = tmp_path / "gateway.toml"
    file.write_text(GATEWAY, "utf-8")
    return file


def test_each_value_names_the_line_the_variable_the_file_or_the_default_it_is_from(
    gateway_toml: Path,
) -> None:
    found = {s.key: s for s in settings(load_gateway(gateway_toml))}
    told = {key: (s.value, s.told) for key, s in found.items()}
    at = f"{gateway_toml}:"
    assert told["gateway.id"] == ("gw-1", at + "3")
    assert told["gateway.site"] == ("plant", f"environment TEST_SITE ({at}4)")
    assert told["gateway.data_dir"] == (str(gateway_toml.parent / "data"), at + "5")
    assert told["uplink.port"] == (1883, "default")
    assert told["uplink.username"] == ("${not-a-reference}", at + "8")
    assert told["uplink.password"] == ("***", f"secret file password ({at}9)")
    assert told["commands.key"] == ("***", f"environment TEST_KEY ({at}11)")
    assert told["drivers[0].auth_secret"] == ("***", at + "16")
    assert told["drivers[0].devices[0].auth_code"] == ("***", at + "17")
    assert told["drivers[0].time_zone"] == ("+08:00", "default")
    assert told["drivers[1].tcp.host"] == ("10.0.0.1", at + "21")
    assert told["drivers[1].devices[0].profile"] == ("four-gas-head", at + "22")


def test_no_setting_of_the_sections_is_left_out(gateway_toml: Path) -> None:
    loaded = load_gateway(gateway_toml)
    shown = {s.key for s in settings(loaded)}
    for section in ("gateway", "outbox", "pipeline", "commands", "control", "uplink"):
        model = type(getattr(loaded.value, section))
        wanted = {key for key, *_ in model_keys(model) if "." not in key and "[" not in key}
        assert {f"{section}.{key}" for key in wanted} <= shown


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_the_command_shows_them_and_no_secret(
    flag: list[str], gateway_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["check", "--show", str(gateway_toml), *flag]) == 0
    text = capsys.readouterr().out
    assert [secret for secret in SECRETS if secret in text] == []
    if not flag:
        assert f'gateway.site = "plant"  # environment TEST_SITE ({gateway_toml}:4)\n' in text
        assert "commands.key = ***  # environment TEST_KEY" in text
        assert "uplink.tls = none  # default\n" in text
        return
    (file,) = json.loads(text)["files"]
    found = {s["key"]: s for s in file["settings"]}
    assert found["uplink.port"] == {
        "key": "uplink.port", "value": 1883, "origin": "default", "place": "", "source": "",
    }  # fmt: skip


def test_a_wrong_file_shows_its_mistakes_instead(
    gateway_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway_toml.write_text(GATEWAY.replace("phone =", "fone ="), "utf-8")
    assert dispatch(["check", "--show", str(gateway_toml)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "did you mean 'phone'?" in captured.err
