"""What the commands for devices share: `KEY=VALUE` words, and the exit code of an outcome."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.contract.orders import Outcome
from tocsin.errors import CommandRefusedError, DriverError, UsageError

_CODES = {
    Outcome.REFUSED: CommandRefusedError.exit_code,
    Outcome.EXPIRED: CommandRefusedError.exit_code,
    Outcome.FAILED: DriverError.exit_code,
    Outcome.UNKNOWN: DriverError.exit_code,
}


def parse_pairs(words: Iterable[str]) -> dict[str, str]:
    """`KEY=VALUE` words as a mapping.

    Raises:
        UsageError: a word without `=`, or a key twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or key in found:
            raise UsageError(f"{word!r} is no argument", hint="KEY=VALUE, each key once")
        found[key] = value
    return found


def exit_code(outcome: str) -> int:
    """8 for what was not sent, 5 for what failed or is unknown, else 0."""
    return _CODES.get(Outcome(outcome), 0) if outcome in set(Outcome) else 0
