"""What the console ships: vendored files as published, words in both languages, nothing from elsewhere."""

from __future__ import annotations

import hashlib
import re
import string
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.console.render import STATIC, VENDOR, environment
from cloud.console.show import age, unit, value
from cloud.console.words import language_of, words
from cloud.identity.rules import Role, Scope
from cloud.permits.packs import Packs
from cloud.permits.shown import EMERGENCY, EXPIRED, SUSPENDED
from tocsin.contract.quality import Quality
from tocsin.errors import AlarmRefusal, DriverReason

TEMPLATES = STATIC.parent / "templates"


def test_vendored_files_are_exactly_what_the_manifest_says() -> None:
    manifest = tomllib.loads((STATIC / "vendor" / "VENDOR.toml").read_text("utf-8"))
    listed: dict[str, str] = {}
    for name, entry in manifest.items():
        assert entry["version"], name
        assert entry["licence"] in {"0BSD", "MIT", "BSD-3-Clause"}, name
        listed |= entry["sha256"]
    found = {
        str(p.relative_to(STATIC / "vendor")): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in (STATIC / "vendor").rglob("*")
        if p.is_file() and p.name != "VENDOR.toml"
    }
    assert found == listed
    assert all((STATIC / path).is_file() for path in VENDOR.values())


def test_both_languages_have_every_word_with_the_same_placeholders() -> None:
    zh, en = words("zh"), words("en")
    assert zh.keys() == en.keys()
    for key in zh:
        assert zh[key].strip()
        assert en[key].strip()
        named = [{f for _, f, _, _ in string.Formatter().parse(t) if f} for t in (zh[key], en[key])]
        assert named[0] == named[1], key


def test_every_word_a_template_or_module_asks_for_is_in_the_catalogue() -> None:
    known = words("zh")
    asked: set[str] = set()
    for path in [*TEMPLATES.glob("*.html"), *(STATIC / "js").glob("*.mjs")]:
        asked |= set(
            re.findall(r"""\bt\(["'`]([a-z_]+\.[a-z_0-9]+)["'`][,)]""", path.read_text("utf-8"))
        )
    assert len(asked) > 80
    assert asked <= known.keys()


def test_every_state_a_page_may_show_has_its_word() -> None:
    known = words("zh")
    for role in Role:
        assert f"role.{role}" in known
    for scope in Scope:
        assert f"scope.{scope}" in known
    for rule in (SUSPENDED, EMERGENCY, EXPIRED):
        assert f"alarm.{rule}" in known
    for template in Packs(None).templates.values():
        assert {
            f"permit_item.{i}"
            for i in (*template.checklist, *template.equipment, *template.conflicts)
        } <= known.keys()
    for reason in AlarmRefusal:
        assert f"refused.{reason}" in known
    for why in DriverReason:
        assert f"reason.{why}" in known
    general = {Quality.GOOD, Quality.UNCERTAIN, Quality.UNKNOWN_CODE, Quality.BAD}
    rare = {Quality.SUBSTITUTED, Quality.ESTIMATED}
    for q in set(Quality) - general - rare:
        assert f"quality_code.{int(q)}" in known, q.name


def test_no_page_names_another_origin_or_carries_script_in_its_markup() -> None:
    for path in TEMPLATES.glob("*.html"):
        text = path.read_text("utf-8")
        assert not re.search(r"(src|href)=[\"']?(https?:)?//", text), path.name
        assert not re.search(r"\son\w+=|style=|<style|javascript:", text), path.name
        for tag in re.findall(r"<script[^>]*>", text):
            assert "src=" in tag or "application/json" in tag, path.name
        environment().get_template(path.name)


@pytest.mark.parametrize(
    ("cookie", "accept", "language"),
    [
        (None, "", "zh"),
        (None, "en-GB,en;q=0.9", "en"),
        (None, "fr,de;q=0.8", "zh"),
        (None, "en;q=0.5,zh-CN", "zh"),
        (None, "de,en;q=0.3", "en"),
        (None, ";;q=,en;q=x", "zh"),
        ("en", "zh-CN", "en"),
        ("zh", "en", "zh"),
        ("xx", "en", "en"),
    ],
)
def test_the_language_is_chosen_then_asked_then_chinese(
    cookie: str | None, accept: str, language: str
) -> None:
    assert language_of(cookie, accept) == language


@given(st.text(max_size=200))
def test_no_accept_language_header_breaks_a_page(accept: str) -> None:
    assert language_of(None, accept) in ("zh", "en")


@pytest.mark.parametrize(
    ("told", "ucum", "quantity", "shown"),
    [
        (None, "[ppm]", "", "—"),
        (3.14159, "[ppm]", "", "3.14"),
        (123.456, "[ppm]", "", "123.5"),
        (12345.6, "", "", "12346"),
        (31.234567, "deg", "lat", "31.23457"),
        (90.4, "deg", "course", "90"),
        (7, "1", "", "7"),
        (1.0, "1", "", "1"),
        (0.81, "1", "", "0.81"),
        (True, "1", "", "✓"),
        ("open", "", "", "open"),
    ],
)
def test_values_are_printed_with_the_decimals_people_want(
    told: object, ucum: str, quantity: str, shown: str
) -> None:
    assert value(told, ucum, quantity) == shown
    assert unit("[ppm]") == "ppm"
    assert age(59) == (59, "live.second")
    assert age(7300) == (2, "live.hour")
