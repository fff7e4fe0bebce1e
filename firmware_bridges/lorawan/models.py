"""Payload files: which values a sensor model sends, and by which formula they come from its words."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from firmware_bridges.lorawan.formula import Scope, compile_formula, evaluate, names_in
from tocsin.cli.data import data_dir
from tocsin.config import Loaded, load
from tocsin.errors import ConfigError, ConfigProblem


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ValueLine(_Model):
    """One value of a sensor, or several alike."""

    name: str = Field(description="Name of the value, as the maker spells it; {n} counts.")
    unit: str | None = Field(default=None, description="Unit, as the maker spells it.")
    formula: str = Field(alias="is", description="Formula of the value.")
    count: int | None = Field(
        default=None, ge=1, le=64, description="So many values alike, with n = 0, 1, ..."
    )
    first: int = Field(default=0, ge=0, description="What {n} in the name begins with.")


class SensorLine(_Model):
    """One sensor of a model: its words follow one another in the payload."""

    words: int = Field(ge=1, le=64, description="How many 16-bit words it takes.")
    let: dict[str, str] = Field(
        default_factory=dict, description="Named intermediate results, in this order."
    )
    values: tuple[ValueLine, ...] = Field(min_length=1, description="What it measures.")


class ModelLine(_Model):
    """One model of sensor."""

    title: str = Field(default="", description="What it measures, for people.")
    parameters: dict[str, float] = Field(
        default_factory=dict, description="Numbers that belong to the single device, with defaults."
    )
    sensors: tuple[SensorLine, ...] = Field(
        min_length=1, max_length=16, description="Its sensors, that of the lowest bit first."
    )

    @model_validator(mode="after")
    def _formulas_hold(self) -> ModelLine:
        for sensor in self.sensors:
            known = {"x", *self.parameters}
            for name, text in sensor.let.items():
                _check(text, known)
                known.add(name)
            for value in sensor.values:
                _check(value.formula, known | ({"n"} if value.count else set()))
        return self


def _check(text: str, known: set[str]) -> None:
    compile_formula(text)
    if unknown := names_in(text) - known:
        raise ValueError(f"{text}: nothing is called {', '.join(sorted(unknown))}")


class Header(_Model):
    """What the file is."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Name of the file.")
    title: str = Field(default="", description="Whose sensors, for people.")
    protocol: Literal["decentlab"] = Field(description="How payloads are laid out.")


class PayloadFile(_Model):
    """One file of configs/payloads."""

    payload: Header = Field(description="What the file is.")
    models: dict[str, ModelLine] = Field(min_length=1, description="Models by name.")


class Reading(msgspec.Struct, frozen=True):
    """One value out of a payload; None where the words give no number."""

    name: str
    unit: str | None
    value: float | None


class Sensor:
    """One sensor with its formulas compiled. `words` is how many it takes."""

    def __init__(self, line: SensorLine) -> None:
        self.words = line.words
        self._let = [(name, compile_formula(text)) for name, text in line.let.items()]
        self._values = [
            (value.name.replace("{n}", str(value.first + n)), value.unit, n, formula)
            for value in line.values
            for formula in (compile_formula(value.formula),)
            for n in range(value.count or 1)
        ]

    def read(self, words: tuple[int, ...], parameters: dict[str, float]) -> list[Reading]:
        """What the words say."""
        names = dict(parameters)
        scope = Scope(words, names)
        for name, formula in self._let:
            value = evaluate(formula, scope)
            names[name] = float("nan") if value is None else value
        found = []
        for name, unit, n, formula in self._values:
            names["n"] = n
            found.append(Reading(name=name, unit=unit, value=evaluate(formula, scope)))
        return found


class SensorModel:
    """A model ready to read payloads."""

    def __init__(self, name: str, line: ModelLine) -> None:
        self.name, self.parameters = name, line.parameters
        self.sensors = tuple(Sensor(s) for s in line.sensors)
        self.value_names = {
            value.name.replace("{n}", str(value.first + n)): value.unit
            for sensor in line.sensors
            for value in sensor.values
            for n in range(value.count or 1)
        }


def payload_names() -> list[str]:
    """Names of the shipped payload files."""
    return sorted(path.stem for path in (data_dir("configs") / "payloads").glob("*.toml"))


def load_payload_file(path: Path) -> Loaded[PayloadFile]:
    """A payload file for `tocsin check`.

    Raises:
        ConfigError: with every mistake in it.
    """
    return load(path, PayloadFile)


@cache
def shipped(name: str) -> PayloadFile:
    """The shipped payload file of that name."""
    return load(data_dir("configs") / "payloads" / f"{name}.toml", PayloadFile).value


def payload_file(name: str, folder: Path = Path()) -> PayloadFile:
    """The payload file of a name, or of a path (with `/` or `.toml`) relative to `folder`.

    Raises:
        ConfigError: no such file, or mistakes in it.
    """
    if "/" in name or name.endswith(".toml"):
        return load(folder / Path(name).expanduser(), PayloadFile).value
    if name not in payload_names():
        allowed = f"no such payload file; shipped: {', '.join(payload_names())}; or give a path"
        raise ConfigError([ConfigProblem(file="", line=0, key="", value=name, allowed=allowed)])
    return shipped(name)


def model_of(file: PayloadFile, name: str) -> SensorModel | None:
    """The model of that name; None if the file has none."""
    line = file.models.get(name)
    return None if line is None else SensorModel(name, line)
