"""cloud.toml: every mistake at once, at its line; every setting has its manual."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from cloud.config import CloudConfig, load_cloud
from tocsin.errors import ConfigError

ROOT = Path(__file__).parents[3]

WRONG = """schema = 1
[cloud]
name = "cloud-0"
data_dir = "data"
[store]
type = "local"
hot_hours = 0
[query]
memory_mb = 512
[[gateways]]
id = "gw-1"
site = "plant"
[[gateways]]
id = "gw-2"
site = "plant"
[[gateways]]
id = "gw-1"
site = "river"
[[gateways]]
id = "cloud-0"
site = "plant"
[[gateways]]
id = "gw-1"
site = "plant"
"""


def problems(tmp_path: Path, text: str) -> list[tuple[int, str, str]]:
    path = tmp_path / "cloud.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_cloud(path)
    return [(p.line, p.key, p.allowed) for p in caught.value.problems]


def test_gateways_of_one_name_are_told_at_their_lines_beside_all_other_mistakes(
    tmp_path: Path,
) -> None:
    found = problems(tmp_path, WRONG)
    assert [(line, key) for line, key, _ in found] == [
        (7, "store.hot_hours"),
        (9, "query.memory_mb"),
        (17, "gateways[2].id"),
        (20, "gateways[3].id"),
        (23, "gateways[4].id"),
    ]
    assert "already used by gateways[0]" in found[2][2]
    assert "the cloud's own name" in found[3][2]


def test_they_are_told_once_when_nothing_else_is_wrong(tmp_path: Path) -> None:
    text = WRONG.replace("hot_hours = 0\n", "").replace("[query]\nmemory_mb = 512\n", "")
    assert [key for _, key, _ in problems(tmp_path, text)] == [
        f"gateways[{i}].id" for i in (2, 3, 4)
    ]


@pytest.mark.parametrize(
    "odd", ["gateways = 3", "gateways = [1, 2]", "cloud = 7", '[[gateways]]\nid = ["x"]']
)
def test_a_file_of_any_shape_is_told_its_mistakes(tmp_path: Path, odd: str) -> None:
    assert problems(tmp_path, f"schema = 1\n{odd}\n")


def test_a_configuration_made_in_code_is_judged_alike(tmp_path: Path) -> None:
    twice = [{"id": "gw-1", "site": "a"}, {"id": "gw-1", "site": "b"}]
    with pytest.raises(ValidationError):
        CloudConfig.model_validate(
            {"schema": 1, "cloud": {"data_dir": tmp_path}, "gateways": twice}
        )


def test_the_manual_names_every_table_and_ready_file() -> None:
    text = (ROOT / "docs" / "reference" / "cloud-config.md").read_text("utf-8")
    tables = [f.alias or name for name, f in CloudConfig.model_fields.items() if name != "schema_"]
    assert [name for name in tables if f"[{name}]" not in text] == []
    for file in ROOT.glob("configs/cloud-*.toml"):
        assert f"configs/{file.name}" in text


def test_examples_of_the_manual_pass_the_check(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "reference" / "cloud-config.md").read_text("utf-8")
    (tmp_path / "secret").write_text("a-secret", "utf-8")
    text = re.sub(r"\$\{file:[^}]*\}", "${file:secret}", text)
    examples = re.findall(r"```toml\n(.*?)```", text, re.S)
    assert examples
    for i, example in enumerate(examples):
        head = "" if example.startswith("schema") else 'schema = 1\n[cloud]\ndata_dir = "data"\n'
        path = tmp_path / f"cloud-{i}.toml"
        path.write_text(head + example, "utf-8")
        load_cloud(path)
