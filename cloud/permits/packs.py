"""Rule packs and hazard templates by name: those that come with Tocsin, and a folder's own, which go before them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from tocsin.cli.data import data_dir
from tocsin.config.rule_packs import load_rules, load_template
from tocsin.errors import NotFoundError
from tocsin.permits.rule_rows import Rules
from tocsin.permits.space import Template

T = TypeVar("T")


class Packs:
    """Read once, at the start: a permit keeps the pack and template it was begun with."""

    def __init__(self, own: Path | None) -> None:
        folders = [data_dir("configs") / "rules", *([own] if own else [])]
        self.rules: dict[str, Rules] = {}
        self.templates: dict[str, Template] = {}
        for folder in folders:
            for path in sorted(folder.glob("*.toml")):
                rules = load_rules(path)
                self.rules[rules.name] = rules
            for path in sorted((folder / "hazards").glob("*.toml")):
                template = load_template(path)
                self.templates[template.id] = template

    def pack(self, name: str) -> Rules:
        """A rule pack.

        Raises:
            NotFoundError: there is none of that name.
        """
        return _named(self.rules, name, "rule pack")

    def template(self, name: str) -> Template:
        """A hazard template.

        Raises:
            NotFoundError: there is none of that name.
        """
        return _named(self.templates, name, "hazard template")


def _named(known: dict[str, T], name: str, what: str) -> T:
    found = known.get(name)
    if found is None:
        raise NotFoundError(
            f"there is no {what} {name!r}",
            hint=f"one of {', '.join(sorted(known))}, or a file of your own in permits.rules_folder",
        )
    return found
