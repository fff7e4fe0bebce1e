"""The site after its scripted days, for people: who is who, what they log in with, and gas and fan by a line at the terminal."""

from __future__ import annotations

import re
import select
import sys
import time

from tocsin.cli import output
from tocsin.lab.confined import site
from tocsin.lab.confined.day import CREW, SIGNERS, Site
from tocsin.lab.confined.person import PASSWORD, PIN

_GAS = re.compile(r"(o2|ex|h2s|co) (-|[0-9.]+)")
_FAN = re.compile(r"fan ([01])")


def ready(at: Site) -> str:
    """From now on permits follow the shipped intervals; what a person needs to know of the site."""
    at.furnish_space(site.BY_HAND)
    people = [
        [name, role, at.people[name].secret if role in SIGNERS else ""]
        for name, role in {**CREW, "root": "admin"}.items()
    ]
    return "\n".join(
        [
            "",
            "Now by hand; permits from here on have the shipped intervals, but one second of ventilation is enough.",
            f"console  {at.console_url}",
            f"gateway  {at.page_url}  (PIN {PIN}: li, wang)",
            f"password {PASSWORD!r}, for everybody; log in as several people in a private window each",
            f"label    {site.PLACE}, asked for at the space; instrument gd-1",
            "",
            output.table(["account", "role", "key for an authenticator app"], people),
            "",
            "Keep the permit's page open as li, the attendant: without it the work is suspended in a minute.",
            "Type here: `h2s 25` (gas rises), `h2s -` (as before), also o2, ex, co; `fan 0`, `fan 1`. Ctrl-C ends.",
        ]
    )


def order_of(line: str) -> str | None:
    """What the plant is told of a line that somebody typed; None where it is none."""
    if found := _GAS.fullmatch(line):
        return f"set 1 {found[1]} {found[2]}"
    if found := _FAN.fullmatch(line):
        return f"set 2 relay_2 {found[1]}"
    return None


def stay(at: Site, for_s: float | None) -> None:
    """Until the time is over or Ctrl-C."""
    end_s = time.monotonic() + (for_s if for_s is not None else 1e9)
    listens = sys.stdin.isatty()
    try:
        while (left_s := end_s - time.monotonic()) > 0:
            at.children.check()
            if not listens:
                time.sleep(min(0.5, left_s))
            elif select.select([sys.stdin], [], [], min(0.5, left_s))[0]:
                line = sys.stdin.readline()
                listens = bool(line)
                order = order_of(line.strip().lower())
                if order is not None:
                    at.happens(order)
                elif line.strip():
                    output.note("that is nothing the plant knows: h2s 25, h2s -, fan 0, fan 1")
    except KeyboardInterrupt:
        output.note("stopping")
