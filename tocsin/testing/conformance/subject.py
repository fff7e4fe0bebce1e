"""The driver under test, and what a rule is."""

from __future__ import annotations

import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.sdk import Driver, DriverConfig
from tocsin.sdk.driver import driver_point, load_driver
from tocsin.sdk.plugins import folder_of

LIVE = "live"


class Subject:
    """An installed driver, found through its entry point as the agent finds it.

    Raises:
        PluginError: not installed, or it does not load.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder: Path = folder_of(driver_point(name))
        self.kind: type[Driver] = load_driver(name)

    def sample(self) -> list[dict[str, Any]]:
        """The tables of its sample.toml."""
        found = tomllib.loads((self.folder / "sample.toml").read_text("utf-8"))
        tables: list[dict[str, Any]] = found["drivers"]
        return tables

    def configs(self) -> list[DriverConfig]:
        """The sample's tables, validated."""
        context = {"dir": self.folder}
        return [self.kind.Config.model_validate(t, context=context) for t in self.sample()]

    def cases(self) -> list[Path]:
        """The folders of its cases, the one named `live` left out."""
        files = sorted((self.folder / "cases").glob("*/case.toml"))
        return [file.parent for file in files if file.parent.name != LIVE]


class Outcome(msgspec.Struct, frozen=True):
    """What a rule found; `problems` is empty where it holds."""

    rule: str
    says: str
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the rule holds."""
        return not self.problems


class Rule(msgspec.Struct, frozen=True):
    """A rule of the driver's contract: its name, what it says, and what finds its breaches."""

    name: str
    says: str
    check: Callable[[Subject], Awaitable[list[str]]]
