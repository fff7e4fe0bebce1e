"""The console's words in two languages, from one catalogue."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

from tocsin.contract.catalogue import catalogue, find

Language = Literal["zh", "en"]
COOKIE = "tocsin_lang"


@cache
def words(language: Language) -> Mapping[str, str]:
    """Every text by `section.key`."""
    raw = tomllib.loads(files(__package__).joinpath("locales.toml").read_text("utf-8"))
    return {
        f"{section}.{key}": text[language]
        for section, table in raw.items()
        for key, text in table.items()
    }


def language_of(cookie: str | None, accept: str) -> Language:
    """The reader's choice; else the first language of the browser that we speak; else Chinese."""
    if cookie in ("zh", "en"):
        return "zh" if cookie == "zh" else "en"
    wanted: list[tuple[float, int, Language]] = []
    for place, part in enumerate(accept.split(",")[:20]):
        tag, _, weight = part.partition(";q=")
        try:
            q = float(weight) if weight else 1.0
        except ValueError:
            q = 0.0
        start = tag.strip().lower()[:2]
        if start in ("zh", "en") and q > 0:
            wanted.append((-q, place, "zh" if start == "zh" else "en"))
    return min(wanted)[2] if wanted else "zh"


def quantity_name(kind: str, quantity: str, language: Language) -> str:
    """What people call a quantity."""
    entry = find(kind, quantity)
    return (entry.zh if language == "zh" else entry.en) if entry else quantity


def kind_name(kind: str, language: Language) -> str:
    """What people call a kind of device."""
    entry = catalogue().get(kind)
    return (entry.zh if language == "zh" else entry.en) if entry else kind
