"""Intervals by the id of their row. A pack that has no such row does not lift the interval: Tocsin's own value holds."""

from __future__ import annotations

from tocsin.permits.rule_rows import RuleRow, Rules

NS = 1_000_000_000
TEST_AGE = "test-age"
INTERRUPTION = "interruption"
VENTILATION = "ventilation-min"
VALIDITY = "validity"
RETENTION = "retention"
FRESHNESS = "freshness"
ATTENDANT = "attendant-sign"
CALIBRATION = "calibration"
BUMP = "bump"
GRANT = "grant"
RECORD = "record"  # only where a pack has the row
OWN_S = {
    TEST_AGE: 1800.0,
    INTERRUPTION: 1800.0,
    VENTILATION: 1800.0,
    VALIDITY: 86_400.0,
    RETENTION: 3 * 365 * 86_400.0,
    FRESHNESS: 60.0,
    ATTENDANT: 60.0,
    CALIBRATION: 365 * 86_400.0,
    BUMP: 86_400.0,
    GRANT: 1800.0,
}
NEVER_LONGER = frozenset({TEST_AGE, FRESHNESS, ATTENDANT, GRANT})  # whatever a pack says
RESCUE_GRANT_S = 86_400.0


def seconds(rules: Rules, row: str) -> tuple[float, RuleRow | None]:
    """The interval in seconds, and the row that says so."""
    found = rules.row(row)
    if found is None or found.interval_s is None:
        return OWN_S[row], None
    if row in NEVER_LONGER and found.interval_s > OWN_S[row]:
        return OWN_S[row], found
    return found.interval_s, found
