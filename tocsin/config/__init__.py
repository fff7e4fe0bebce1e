"""TOML files into validated models: every mistake at once, each with file, line, key, value and what is allowed."""

from tocsin.config.clear import Clear, is_loopback
from tocsin.config.effective import Setting, settings
from tocsin.config.lines import KeyPath, dotted
from tocsin.config.load import (
    Document,
    Draft,
    LeftOut,
    Loaded,
    Resolver,
    load,
    load_right_parts,
)
from tocsin.config.mistakes import Mistake, MistakesError
from tocsin.config.schema import SCHEMA_VERSION, json_schema
from tocsin.config.sections import Section, TlsOptions
from tocsin.config.types import ConfigPath, Secret

__all__ = [
    "SCHEMA_VERSION",
    "Clear",
    "ConfigPath",
    "Document",
    "Draft",
    "KeyPath",
    "LeftOut",
    "Loaded",
    "Mistake",
    "MistakesError",
    "Resolver",
    "Secret",
    "Section",
    "Setting",
    "TlsOptions",
    "dotted",
    "is_loopback",
    "json_schema",
    "load",
    "load_right_parts",
    "settings",
]
