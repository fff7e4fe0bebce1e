"""Data that ships with Tocsin: `configs` and `models`."""

from __future__ import annotations

from pathlib import Path

import tocsin
from tocsin.errors import TocsinError


def data_dir(name: str) -> Path:
    """The folder `name`: inside the installed package, or the root of a source checkout."""
    package = Path(tocsin.__file__).parent
    for place in (package / "_data" / name, package.parent / name):
        if place.is_dir():
            return place
    raise TocsinError(
        f"the folder {name!r} is not part of this installation",
        hint="reinstall tocsin from its wheel or a full checkout",
    )
