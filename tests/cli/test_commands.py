"""`tocsin check`, `tocsin schema`, output, paths and shipped data."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tocsin.cli import output
from tocsin.cli.data import data_dir
from tocsin.cli.paths import last_cloud_dir, remember_cloud_dir, state_root
from tocsin.cli.root import dispatch
from tocsin.contract.schemas import SCHEMAS
from tocsin.errors import TocsinError

CLOUD = 'schema = 1\n[cloud]\ndata_dir = "data"\n'


@pytest.fixture
def cloud_toml(tmp_path: Path) -> Path:
    file = tmp_path / "any-name.toml"
    file.write_text(CLOUD, "utf-8")
    return file


def test_check_tells_the_kind_by_its_tables(
    cloud_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["check", "-c", str(cloud_toml)]) == 0
    assert capsys.readouterr().out == f"{cloud_toml}: ok (cloud)\n"


def test_check_prints_its_object_with_json(
    cloud_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["check", "--json", str(cloud_toml)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["files"][0] == {"file": str(cloud_toml), "kind": "cloud", "warnings": []}


def test_check_tells_the_mistakes_of_all_files_at_once(
    cloud_toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = tmp_path / "second.toml"
    second.write_text("schema = 1\n[cluod]\n", "utf-8")
    cloud_toml.write_text(CLOUD + "prot = 1\n", "utf-8")
    assert dispatch(["check", str(cloud_toml), str(second)]) == 3
    err = capsys.readouterr().err
    assert f"{cloud_toml}:4: cloud.prot = 1: not a known key" in err
    assert f"{second}:1: not a configuration of Tocsin" in err
    assert "did you mean 'cloud'?" in err


def test_check_without_a_file_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["check"]) == 2
    assert "name a file" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*SCHEMAS, "gateway", "cloud"])
def test_schema_prints_each_schema(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["schema", name]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"].startswith("https://json-schema.org/")


def test_schema_lists_its_names_and_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["schema", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["messages"] == list(SCHEMAS)
    assert dispatch(["schema", "bacth"]) == 2
    assert "did you mean 'batch'?" in capsys.readouterr().err


def test_json_output_understands_structs_paths_and_numbers_that_json_has_not() -> None:
    class Point(msgspec.Struct):
        """Something to print."""

        place: Path
        value: float

    assert output.to_json(Point(Path("/a"), float("nan"))) == '{"place":"/a","value":null}'
    odd = Point(Path("/\udcff"), float("nan"))
    assert output.to_json({"a": [odd], "n": 1}) == '{"a":[{"place":"/\ufffd","value":null}],"n":1}'


def test_a_table_lines_up_with_wide_characters() -> None:
    text = output.table(["name", "v"], [["泵", "1"], ["gas", "2"]])
    assert text == "name  v\n泵    1\ngas   2"
    assert output.table(["a"], []) == "a"


def test_the_state_root_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TOCSIN_DATA", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_root() == Path.home() / ".local/state/tocsin"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_root() == tmp_path / "tocsin"
    monkeypatch.setenv("TOCSIN_DATA", str(tmp_path / "chosen"))
    assert state_root() == tmp_path / "chosen"


def test_the_last_cloud_is_remembered_while_it_exists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOCSIN_DATA", str(tmp_path / "state"))
    assert last_cloud_dir() is None
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    remember_cloud_dir(cloud)
    assert last_cloud_dir() == cloud
    assert [p.name for p in state_root().iterdir()] == ["last-cloud"]
    cloud.rmdir()
    assert last_cloud_dir() is None


def test_shipped_data_is_found_and_what_is_not_shipped_is_said() -> None:
    assert (data_dir("configs") / "README.md").is_file()
    with pytest.raises(TocsinError, match="'nothing' is not part of this installation"):
        data_dir("nothing")
