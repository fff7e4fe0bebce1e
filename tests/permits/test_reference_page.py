"""The page on permits names every word of the rules, and its diagram shows the moves that are possible."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from tests.permits.test_transitions import expected
from tocsin.permits.names import Action, Cause, State
from tocsin.permits.outcomes import Effect
from tocsin.permits.refusals import PermitRefusal

PAGE = Path("docs/reference/permits.md").read_text("utf-8")


@pytest.mark.parametrize("words", [State, Action, Cause, Effect, PermitRefusal])
def test_every_word_is_named(words: type[StrEnum]) -> None:
    assert [word.value for word in words if f"`{word.value}`" not in PAGE] == []


def test_the_diagram_shows_every_move_and_no_other() -> None:
    drawn = set(re.findall(r"^  (\w+) --> (\w+)", PAGE, re.MULTILINE))
    moves = {(source, target) for source, _, _, target in expected() if target != "-"}
    assert drawn == {move for move in moves if move[1] != "revoked"}
