"""What the doctor says: one line for each thing looked at."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `fix` is a command or the place to change; empty where nothing is wrong."""

    check: str
    state: State
    text: str
    fix: str = ""


class Report(msgspec.Struct, frozen=True):
    """What `tocsin doctor --json` prints. `ok`: nothing failed."""

    ok: bool
    config: str
    findings: list[Finding]


def ok(check: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(check, "ok", text)


def warn(check: str, text: str, fix: str) -> Finding:
    """Works now, and will hurt."""
    return Finding(check, "warn", text, fix)


def fail(check: str, text: str, fix: str) -> Finding:
    """Does not work."""
    return Finding(check, "fail", text, fix)
