"""The confined-space scene once its script is over: intervals that a person has time for, and lines that reach the plant."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tocsin.cli.data import data_dir
from tocsin.lab.confined.by_hand import order_of
from tocsin.lab.confined.site import TEST_AGE_S, write_rules


def test_by_hand_a_gas_test_counts_as_long_as_the_shipped_rules_say(tmp_path: Path) -> None:
    shipped = data_dir("configs") / "rules"
    write_rules(tmp_path, shipped)

    def age_s(path: Path) -> float:
        rows = tomllib.loads(path.read_text("utf-8"))["rows"]
        return float(next(r["interval_s"] for r in rows if r["id"] == "test-age"))

    assert age_s(tmp_path / "rules" / "day.toml") == TEST_AGE_S
    assert age_s(tmp_path / "rules" / "by-hand.toml") == age_s(shipped / "cn-industry-trade.toml")


def test_a_typed_line_moves_gas_or_fan_and_nothing_else() -> None:
    assert order_of("h2s 25") == "set 1 h2s 25"
    assert order_of("o2 -") == "set 1 o2 -"
    assert order_of("fan 0") == "set 2 relay_2 0"
    for line in ("", "fan 2", "set 2 relay_1 1", "h2s 25\nset 2 relay_1 1"):
        assert order_of(line) is None
