"""Whatever mistakes a file holds, exactly those are reported, each with its line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from tocsin.config import Secret, load
from tocsin.errors import ConfigError


class Table(BaseModel):
    """Strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(Table):
    """A table in a table."""

    ca: str = Field(description="Authority.")
    verify: bool = Field(default=True, description="Check the name.")


class Link(Table):
    """Where to send."""

    host: str = Field(description="Broker.", min_length=1)
    port: int = Field(default=1883, ge=1, le=65535, description="Port.")
    password: Secret | None = Field(default=None, description="Password.")
    retry_s: float = Field(default=1.0, gt=0, description="Pause.")
    tls: Tls | None = Field(default=None, description="TLS.")


class Head(Table):
    """One kind of element."""

    type: Literal["head"] = Field(description="Kind.")
    name: str = Field(pattern="^[a-z0-9-]+$", description="Name.")
    unit: int = Field(ge=1, le=247, description="Bus address.")
    gases: list[Literal["co", "h2s", "o2"]] = Field(default=[], description="Gases.")


class Gauge(Table):
    """Another kind of element."""

    type: Literal["gauge"] = Field(description="Kind.")
    name: str = Field(description="Name.")
    offset_m: float = Field(default=0.0, description="Zero of the gauge, metres.")


class Site(Table):
    """The whole file."""

    link: Link = Field(description="Where to send.")
    limits: dict[str, float] = Field(default={}, description="Limits by quantity.")
    heads: list[Any] = Field(default=[], description="Devices.")


def kind(table: dict[str, Any]) -> type[BaseModel] | None:
    kinds: dict[str, type[BaseModel]] = {"head": Head, "gauge": Gauge}
    return kinds.get(str(table.get("type")))


# (right line, wrong line, key that must be named, words that must stand in the message); "" right: the line is extra
LINES: list[tuple[str, str, str, str]] = [
    ("schema = 1", "schema = 2", "schema", "needs a newer one"),
    ("# link", "[lnik]", "lnik", "not a known key"),
    ("[link]", "[link]", "", ""),
    ('host = "broker"', "hots = 'broker'", "link.hots", "did you mean 'host'"),
    ("port = 8883", "port = 70000", "link.port", "a whole number from 1 to 65535"),
    ('password = "x"', "password = 31337", "link.password", "link.password = ***"),
    ("retry_s = 2", "retry_s = 0.0", "link.retry_s", "a number above 0"),
    ("# none", 'tokken = "s3cret"', "link.tokken", "link.tokken = ***"),
    ("[link.tls]", "[link.tls]", "", ""),
    ('ca = "ca.pem"', "", "link.tls.ca", "required"),
    ("verify = true", 'verify = "perhaps"', "link.tls.verify", "true or false"),
    ("[limits]", "[limits]", "", ""),
    ("h2s = 10", 'h2s = "ten"', "limits.h2s", "a number"),
    ('"co" = 50.5', '"co" = [1]', "limits.co", "a number"),
    ("[[heads]]", "[[heads]]", "", ""),
    ('type = "head"', 'type = "haed"', "heads[0].type", "not a known type"),
    ("[[heads]]", "[[heads]]", "", ""),
    ('type = "head"', 'type = "head"', "", ""),
    ('name = "gas-1"', 'name = "Gas 1"', "heads[1].name", "text of the form"),
    ("unit = 1", "unit = 0", "heads[1].unit", "from 1 to 247"),
    (
        'gases = [\n  "co",\n  "h2s",\n]',
        'gases = [\n  "co",\n  "hs2",\n]',
        "heads[1].gases[1]",
        "did you mean 'h2s'",
    ),
    ("[[heads]]", "[[heads]]", "", ""),
    ('type = "gauge"', 'type = "gauge"', "", ""),
    ('name = "g"', 'name = "${env:TOCSIN_NOT_SET}"', "heads[2].name", "is not set"),
    ("offset_m = -1.5", 'offset_m = "low"', "heads[2].offset_m", "must be a number"),
]
# without the type of the first element, its other keys cannot be judged
FILLER = {15: '\nname = "gas-0"\nunit = 7'}
CHANGEABLE = [i for i, (_, _, key, _) in enumerate(LINES) if key]


def compose(wrong: frozenset[int]) -> tuple[str, list[tuple[int, str, str]]]:
    """The file with the mistakes `wrong`, and (line, key, words) of each."""
    text, expected, table_line = "", [], 0
    for i, (right, bad, key, words) in enumerate(LINES):
        at = text.count("\n") + 1
        if right.startswith("["):
            table_line = at
        if i in wrong:
            inside = [n for n, row in enumerate(bad.split("\n")) if "hs2" in row]
            line = table_line if not bad else at + (inside[0] if inside else 0)
            expected.append((line, key, words))
        text += (bad if i in wrong else right) + FILLER.get(i, "") + "\n"
    return text, expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wrong=st.frozensets(st.sampled_from(CHANGEABLE), min_size=10, max_size=10))
def test_ten_mistakes_are_ten_problems_on_their_lines(
    wrong: frozenset[int], tmp_path: Path
) -> None:
    text, expected = compose(wrong)
    file = tmp_path / "site.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file, Site, resolve={"heads": kind})
    found = [(p.line, p.key) for p in caught.value.problems]
    assert found == sorted((line, key) for line, key, _ in expected), text
    said = {p.key: str(p) for p in caught.value.problems}
    assert [key for _, key, words in expected if words not in said[key]] == [], said
    assert "s3cret" not in str(caught.value)
    assert "31337" not in str(caught.value)


def test_the_same_file_without_mistakes_loads(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(compose(frozenset())[0], "utf-8")
    site = load(file, Site, resolve={"heads": kind}).value
    assert [type(head) for head in site.heads] == [Head, Head, Gauge]
    assert site.link.password == Secret("x")
