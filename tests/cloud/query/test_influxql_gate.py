"""Only what reads this database is forwarded to InfluxDB."""

from __future__ import annotations

import pytest

from cloud.query.influxql_gate import check_influxql
from tocsin.errors import QueryError, QueryReason


@pytest.mark.parametrize(
    "text",
    [
        "SELECT mean(h2s) FROM gas WHERE time > now() - 1h GROUP BY time(1m), device fill(none)",
        'select "h2s" from "gas" where device = \'gas-01\' and h2s > 1.5',
        'SELECT * FROM "autogen"."gas"',
        "SHOW FIELD KEYS FROM gas",
        "  SHOW TAG VALUES FROM gas WITH KEY = device ; ",
        "SELECT last(*) FROM /.*/ GROUP BY site, device",
    ],
)
def test_reading_is_let_through(text: str) -> None:
    assert check_influxql(text) == text.strip().rstrip(";").rstrip()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", QueryReason.NOT_ONE_SELECT),
        ("DROP DATABASE tocsin", QueryReason.NOT_ONE_SELECT),
        ("SELECT 1 FROM gas; DROP MEASUREMENT gas", QueryReason.NOT_ONE_SELECT),
        ("SELECT x FROM /'/; DROP DATABASE y; SELECT '", QueryReason.NOT_ONE_SELECT),
        ("SHOW DATABASES", QueryReason.NOT_ONE_SELECT),
        ("SHOW USERS", QueryReason.NOT_ONE_SELECT),
        ("SHOW GRANTS FOR admin", QueryReason.NOT_ONE_SELECT),
        ("EXPLAIN SELECT * FROM gas", QueryReason.NOT_ONE_SELECT),
        ("SELECT * INTO copy FROM gas", QueryReason.FORBIDDEN),
        ("SELECT * FROM (SELECT h2s INTO copy FROM gas)", QueryReason.FORBIDDEN),
        ("SELECT * in/**/to copy FROM gas", QueryReason.FORBIDDEN),
        ("SELECT * FROM gas -- it ends here", QueryReason.FORBIDDEN),
        ("SELECT * FROM other..gas", QueryReason.FORBIDDEN),
        ('SELECT * FROM "other" . "auto\\"gen" . /.*/', QueryReason.FORBIDDEN),
        ("SHOW MEASUREMENTS ON other", QueryReason.FORBIDDEN),
        ("SHOW TAG KEYS ON other FROM gas", QueryReason.FORBIDDEN),
        ("SELECT '\x00' FROM gas", QueryReason.SYNTAX),
        ("SELECT '" + "x" * 70_000 + "' FROM gas", QueryReason.SYNTAX),
    ],
)
def test_everything_else_is_refused_with_a_reason(text: str, reason: QueryReason) -> None:
    with pytest.raises(QueryError) as caught:
        check_influxql(text)
    assert caught.value.reason is reason
