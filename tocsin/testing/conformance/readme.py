"""What the README beside a driver says: four sections, in this order, so that a technician finds them in every driver."""

from __future__ import annotations

import re
from collections.abc import Iterator

SECTIONS = ("What it reads", "Configuration", "When something goes wrong", "Limits")

_SECTION = re.compile(r"^## +(.+?) *$", re.MULTILINE)


def readme_mistakes(text: str, driver: str) -> Iterator[str]:
    """What is missing from a driver's README."""
    pieces = _SECTION.split(text)
    found = dict(zip(pieces[1::2], (body.strip() for body in pieces[2::2]), strict=True))
    missing = [name for name in SECTIONS if name not in found]
    if missing:
        yield "no section " + ", ".join(f"`## {name}`" for name in missing)
    elif [name for name in found if name in SECTIONS] != list(SECTIONS):
        yield "the sections are in another order than " + ", ".join(SECTIONS)
    for name in SECTIONS:
        if not found.get(name, "-"):
            yield f"the section `## {name}` is empty"
    if "Configuration" in found and f"tocsin sample {driver}" not in found["Configuration"]:
        yield f"`## Configuration` does not name `tocsin sample {driver}`"
    wrong = found.get("When something goes wrong", "|")
    if not re.search(r"^(\||- )", wrong, re.MULTILINE):
        yield "`## When something goes wrong` has no table or list: what is seen, what to look at"
