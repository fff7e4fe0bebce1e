"""Shipped samples are valid, and the reference pages name every setting."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from edge.drivers.jt808.config import Jt808Config, TerminalConfig
from edge.drivers.nmea.config import NmeaConfig
from edge.drivers.replay.config import Column, CsvOptions, ReplayConfig
from tocsin.sdk import DriverConfig

_ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "model"), [("jt808", Jt808Config), ("nmea", NmeaConfig), ("replay", ReplayConfig)]
)
def test_the_sample_is_valid(name: str, model: type[DriverConfig]) -> None:
    text = (_ROOT / "edge/drivers" / name / "sample.toml").read_text("utf-8")
    for table in tomllib.loads(text)["drivers"]:
        assert model.model_validate(table).type == name


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("jt808", [Jt808Config, TerminalConfig]),
        ("nmea", [NmeaConfig]),
        ("replay", [ReplayConfig, CsvOptions, Column]),
    ],
)
def test_the_reference_names_every_setting(name: str, models: list[type[BaseModel]]) -> None:
    page = (_ROOT / "docs/reference/drivers" / f"{name}.md").read_text("utf-8")
    for model in models:
        for key, field in model.model_fields.items():
            assert field.description
            assert f"`{key}`" in page or key in ("type", "name", "on_start_failure"), key
