"""What lies beside each driver: its sample is valid, its README has its sections, its page names every setting."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tocsin.config.schema import model_keys
from tocsin.sdk import load_driver
from tocsin.sdk.driver import driver_names, driver_point
from tocsin.sdk.plugins import folder_of
from tocsin.testing.conformance.readme import readme_mistakes

_ROOT = Path(__file__).parents[3]
DRIVERS = sorted(driver_names())
IN_EDGE = [name for name in DRIVERS if driver_names()[name].module.startswith("edge.")]
COMMON = {"type", "name", "on_start_failure"}


@pytest.mark.parametrize("name", DRIVERS)
def test_the_sample_is_valid(name: str) -> None:
    text = (folder_of(driver_point(name)) / "sample.toml").read_text("utf-8")
    for table in tomllib.loads(text)["drivers"]:
        assert load_driver(name).Config.model_validate(table).type == name


@pytest.mark.parametrize("name", IN_EDGE)
def test_the_doctor_is_told_what_is_opened(name: str) -> None:
    text = (folder_of(driver_point(name)) / "sample.toml").read_text("utf-8")
    for table in tomllib.loads(text)["drivers"]:
        assert load_driver(name).Config.model_validate(table).endpoints()


@pytest.mark.parametrize("name", DRIVERS)
def test_the_readme_has_its_sections(name: str) -> None:
    text = (folder_of(driver_point(name)) / "README.md").read_text("utf-8")
    assert list(readme_mistakes(text, name)) == [], "the rule stands in CONTRIBUTING.md"
    pages = re.findall(r"docs/reference/[\w./-]+\.md", text)
    assert pages, "no link to the page of its settings"
    assert [page for page in pages if not (_ROOT / page).is_file()] == []


@pytest.mark.parametrize("name", IN_EDGE)
def test_the_reference_names_every_setting(name: str) -> None:
    page = (_ROOT / "docs/reference/drivers" / f"{name}.md").read_text("utf-8")
    for dotted, node, view, _ in model_keys(load_driver(name).Config):
        key = dotted.rpartition(".")[2].removesuffix("[]")
        assert any(branch.get("description") for branch in view.branches(node)), dotted
        assert f"`{key}`" in page or key in COMMON, dotted
