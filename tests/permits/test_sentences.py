"""Every refusal says why in both languages, with its rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tocsin.permits import refusals
from tocsin.permits.names import Action, Cause, Role, State
from tocsin.permits.outcomes import refused
from tocsin.permits.refusals import PermitRefusal
from tocsin.permits.rule_rows import RuleRow, Topic
from tocsin.permits.sentences import SENTENCES, sentence
from tocsin.permits.words import word

ARGS = {  # the names that each reason's comment promises
    found[1]: set(re.findall(r"[a-z_]+", found[2] or ""))
    for found in re.finditer(
        r'= "([a-z-]+)"(?:  # \[([^\]]*)\])?', Path(refusals.__file__).read_text("utf-8")
    )
}


@pytest.mark.parametrize("reason", PermitRefusal)
def test_each_reason_has_a_sentence_of_just_its_own_args(reason: PermitRefusal) -> None:
    for text in SENTENCES[reason]:
        assert set(re.findall(r"\{(\w+)\}", text)) == ARGS[reason.value]
        assert text.endswith(("。", "."))


def test_a_refusal_quotes_its_rule_and_says_when_nobody_checked_it() -> None:
    row = RuleRow("test-age", Topic.INTERVAL, "GB 30871", "检测。", "Tested.", interval_s=1800.0)
    told = refused(PermitRefusal.TEST_OLD, row, minutes=42.0, limit=30.0)
    assert sentence(told, "en") == (
        "The gas test is 42 min old; at most 30 min are allowed. "
        "Rule test-age: Tested. (GB 30871; not checked against the full text)"
    )
    assert "42 分钟" in sentence(told, "zh")
    assert "test-age" in sentence(told, "zh")


def test_what_is_not_told_shows_as_a_question_mark() -> None:
    assert sentence(refused(PermitRefusal.UNFIT), "en").startswith("The medical certificate of ?")


@pytest.mark.parametrize("named", [*State, *Role, *Action, *Cause])
def test_every_name_has_a_word_in_both_languages(named: State | Role | Action | Cause) -> None:
    assert word(named, "en")
    assert not word(named, "zh").isascii()


def test_names_in_a_sentence_are_words() -> None:
    told = refused(PermitRefusal.WRONG_STATE, state="active", action="hand-back")
    assert (
        sentence(told, "en")
        == "The permit is active: it is not possible now to hand the isolations back."
    )
    assert sentence(told, "zh") == "作业票处于“作业中”状态，不能进行“交还隔离措施”。"
