"""The reference pages name everything there is, and what they take from the code is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import reference_pages
from scripts.reference_pages import REFERENCE, ROOT
from tocsin.cli.configs import kinds, load_any, model_of
from tocsin.config.schema import model_keys
from tocsin.contract.catalogue import catalogue
from tocsin.contract.quality import Quality
from tocsin.contract.schemas import SCHEMAS
from tocsin.contract.units import all_units
from tocsin.sdk import load_driver
from tocsin.sdk.driver import driver_names
from tocsin.testing.conformance import ALL


def page(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


def test_what_the_pages_take_from_the_code_is_up_to_date() -> None:
    wanted = reference_pages.pages()
    stale = [str(p.relative_to(ROOT)) for p, text in wanted.items() if _text(p) != text]
    assert stale == [], "run: python -m scripts.reference_pages"


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def test_no_generated_page_is_left_over() -> None:
    wanted = set(reference_pages.pages())
    found = {p for folder in ("keys", "schema") for p in (REFERENCE / folder).iterdir()}
    assert found - wanted == set()


def test_every_error_code_is_documented() -> None:
    text = page("errors.md")
    assert [k.code for k in reference_pages.errors() if f"`{k.code}`" not in text] == []


def test_every_error_says_what_it_is() -> None:
    assert [k.__name__ for k in reference_pages.errors() if not k.__doc__] == []


def test_every_command_and_option_is_documented_and_takes_json() -> None:
    text = page("cli.md")
    for path, command in reference_pages.commands():
        assert f"`{path}`" in text
        options = [option for param in command.params for option in param.opts]
        assert [o for o in options if o.startswith("--") and f"`{o}`" not in text] == []
        is_group = bool(getattr(command, "commands", None))
        assert is_group or "--json" in options, f"{path} has no --json"
        assert command.help, f"{path} does not say what it does"


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_key_of_every_kind_of_file_is_documented(kind: str) -> None:
    text = page(f"keys/{kind}.md")
    for key, _, _, _ in model_keys(model_of(kind)):
        assert f"`{key}`" in text


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_key_says_what_it_means(kind: str) -> None:
    mute = [
        key
        for key, node, view, _ in model_keys(model_of(kind))
        if not any(branch.get("description") for branch in view.branches(node))
    ]
    assert mute == []


@pytest.mark.parametrize("driver", sorted(driver_names()))
def test_every_key_of_every_driver_is_documented(driver: str) -> None:
    text = page(f"keys/driver-{driver}.md")
    for key, _, _, _ in model_keys(load_driver(driver).Config):
        assert f"`{key}`" in text


def test_every_rule_of_the_conformance_kit_is_documented() -> None:
    text = (ROOT / "docs" / "driver-authors.md").read_text("utf-8")
    assert [rule for rule in ALL if f"| `{rule}` |" not in text] == []


def test_every_measurement_quantity_unit_and_quality_is_documented() -> None:
    text = page("quantities.md")
    for measurement in catalogue().values():
        assert f"### `{measurement.name}`" in text
        assert all(f"| `{name}` |" in text for name in measurement.quantities)
    assert all(f"`{unit}`" in text for unit in all_units())
    assert all(f"| {int(q)} | {q.name} |" in text for q in Quality)


def test_every_message_is_named_on_the_page_of_the_wire() -> None:
    text = page("wire.md").lower()
    assert [name for name in SCHEMAS if name not in text] == []


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for file in sorted(ROOT.glob("docs/**/*.md")):
        for link in _links(file.read_text("utf-8")):
            if "://" not in link and not link.startswith("#"):
                target = file.parent / link.split("#")[0]
                if not target.exists():
                    broken.append(f"{file.relative_to(ROOT)}: {link}")
    assert broken == []


def _links(text: str) -> list[str]:
    import re

    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", prose)


SHIPPED = [*sorted(ROOT.glob("configs/**/*.toml")), *sorted(ROOT.glob("models/*/model.toml"))]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda p: p.name)
def test_every_shipped_configuration_passes_the_check(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _environment(file.read_text("utf-8")):
        monkeypatch.setenv(name, "a-secret-for-the-test")
    _, loaded = load_any(file)
    assert loaded.value


def test_the_model_of_ones_own_on_its_page_is_right(tmp_path: Path) -> None:
    toml = page("model.md").partition("```toml\n")[2].partition("```")[0]
    file = tmp_path / "model.toml"
    file.write_text(toml.replace('"..."', f'"{"0" * 64}"'), "utf-8")
    assert load_any(file)[0] == "model"


def _environment(text: str) -> list[str]:
    import re

    return re.findall(r"\$\{env:(\w+)\}", text)
