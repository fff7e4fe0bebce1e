"""Zones of device clocks that tell local time without one."""

from __future__ import annotations

import re
from datetime import timedelta, timezone
from typing import Annotated

from pydantic import AfterValidator

_ZONE = re.compile(r"([+-])(\d{2}):(\d{2})")


def parse_zone(text: str) -> timezone:
    """`+08:00` as a time zone.

    Raises:
        ValueError: it is written otherwise.
    """
    found = _ZONE.fullmatch(text)
    if found is None or int(found[2]) > 14 or int(found[3]) > 59:
        raise ValueError("a time zone is written like +08:00")
    minutes = int(found[2]) * 60 + int(found[3])
    return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))


def _zone(text: str) -> str:
    parse_zone(text)
    return text


ZoneText = Annotated[str, AfterValidator(_zone)]
