"""The shipped rule packs say what docs/reference/rules.md says; a wrong one is refused at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.cli.data import data_dir
from tocsin.config.rule_packs import load_rules, load_template
from tocsin.errors import ConfigError
from tocsin.permits.concentration import convert
from tocsin.permits.rule_rows import Rules, Topic

RULES = data_dir("configs") / "rules"
PACKS = ("cn-chemical", "cn-industry-trade", "osha")
ORDER_69 = (
    "order-of-work", "test-failed-no-entry", "approval-required", "ppe-and-attendant", "trained-only", "no-blind-rescue",
)  # fmt: skip
TOXIC = {  # mg/m3: entry, alarm
    "h2s": (10, 10), "co": (20, 30), "nh3": (20, 30), "so2": (5, 10), "co2": (9000, 18000), "cl2": (1, 1), "c6h6": (3, 6),
}  # fmt: skip
OXYGEN = {"cn-chemical": (19.5, 21.0), "cn-industry-trade": (19.5, 23.5), "osha": (19.5, 23.5)}
INTERVALS = {
    "test-age": 1800, "interruption": 1800, "validity": 86400, "retention": 94608000, "freshness": 60, "attendant-sign": 60,
    "calibration": 31536000, "bump": 86400, "grant": 1800,
}  # fmt: skip


def pack(name: str) -> Rules:
    return load_rules(RULES / f"{name}.toml")


@pytest.mark.parametrize("name", PACKS)
def test_oxygen_and_combustible_gas_have_their_limits(name: str) -> None:
    rules = pack(name)
    low, high = OXYGEN[name]
    entry, alarm = rules.row("o2-entry"), rules.row("o2-alarm")
    assert entry
    assert alarm
    assert (entry.low, entry.high, entry.unit) == (low, high, "%{vol}")
    assert (alarm.low, alarm.high) == (19.5, 23.5)
    assert [entry.allows(v) for v in (19.49, 19.5, high, high + 0.01)] == [False, True, True, False]
    for row in rules.of(Topic.GAS, "ex") + rules.of(Topic.ALARM, "ex"):
        assert (row.low, row.high, row.unit) == (None, 10.0, "%{LEL}")


@pytest.mark.parametrize("name", PACKS[:2])
@pytest.mark.parametrize("gas", TOXIC)
def test_toxic_gases_have_their_limits(name: str, gas: str) -> None:
    rules = pack(name)
    for topic, high in zip((Topic.GAS, Topic.ALARM), TOXIC[gas], strict=True):
        (row,) = rules.of(topic, gas)
        assert (row.low, row.high, row.unit) == (None, high, "mg/m3")
        shown = convert(gas, high, "mg/m3", "[ppm]", rules.reference_c)
        assert shown is not None
        assert shown.reference_c == 20.0


def test_osha_has_no_toxic_limits_that_nobody_read() -> None:
    rules = pack("osha")
    assert {row.quantity for row in rules.rows if row.quantity} == {"o2", "ex"}
    assert rules.reference_c == 25.0


@pytest.mark.parametrize("name", PACKS)
def test_intervals_and_duties(name: str) -> None:
    rules = pack(name)
    for row, interval_s in INTERVALS.items():
        assert rules.interval_s(row) == interval_s
    verified = {row.id for row in rules.rows if row.verified}
    assert verified == (set(ORDER_69) if name.startswith("cn-") else set())
    assert all(row.citation and row.text_zh and row.text_en for row in rules.rows)


def test_the_version_is_of_what_the_pack_says_not_of_how_it_is_written(tmp_path: Path) -> None:
    text = (RULES / "osha.toml").read_text("utf-8")
    head, *rows = text.split("[[rows]]\n")
    other = tmp_path / "osha.toml"
    other.write_text("# another comment\n" + head + "".join(f"[[rows]]\n{r}" for r in rows[::-1]))
    assert load_rules(other).version == pack("osha").version
    other.write_text(text.replace("high = 10.0", "high = 10.5", 1))
    assert load_rules(other).version != pack("osha").version
    assert len({pack(name).version for name in PACKS}) == 3


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("high = 23.5", "high = 9.5", "rows[0].low"),
        ('unit = "%{vol}"', 'unit = "percent"', "rows[0].unit"),
        ('quantity = "o2"\n', "", "rows[0].quantity"),
        ('id = "o2-alarm"', 'id = "o2-entry"', "rows[1].id"),
        ("low = 19.5\nhigh = 23.5\n", "", "rows[0].high"),
        ("reference_c = 25.0", "reference_c = 250.0", "pack.reference_c"),
        ("\nverified = false", "\nverifed = false", "rows[0].verifed"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, before: str, after: str, key: str) -> None:
    text = (RULES / "osha.toml").read_text("utf-8")
    assert before in text
    wrong = tmp_path / "city.toml"
    wrong.write_text(text.replace(before, after, 1), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_rules(wrong)
    assert key in {problem.key for problem in caught.value.problems}
    assert all(problem.line > 0 for problem in caught.value.problems)


@pytest.mark.parametrize("path", sorted((RULES / "hazards").glob("*.toml")), ids=lambda p: p.stem)
def test_a_shipped_template_asks_for_oxygen_first_and_isolates(path: Path) -> None:
    template = load_template(path)
    assert template.id == path.stem
    assert template.gases[:2] == ("o2", "ex")
    assert template.isolations
    assert all(i.text_zh and i.text_en for i in template.isolations)
    assert template.ventilate_min_s >= 1800
