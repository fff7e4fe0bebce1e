"""The line of every key, against tomllib and against lines counted while writing."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.config import KeyPath, dotted
from tocsin.config.lines import key_lines

EVERY_FORM = '''\
# a comment = "not a key"
title = "a # in text" # and a comment
"quoted key" = 1
'literal' = { a = 1, b.c = [1, 2], "d" = { e = true } }
dotted.one.two = 1979-05-27 07:32:00
long = """
[not.a.table]
key = 1 \\""" still inside
""""
raw = \'\'\'
it = 'is' ''still'' inside
\'\'\'

[table]   # comment
list = [
  1,      # one ] and , here
  "]",
  [ 2, 3 ],
  { x = 1 },
]
[table.inner]
y = -inf
[[many]]
a = 1
[[many.nested]]
b = 2
[[many.nested]]
b = 3
[many.side]
c = 4
[[ many ]]
"a" = 5
  [ many . side ]
  c=6
'''

EXPECTED: dict[str, int] = {
    "title": 2,
    '"quoted key"': 3,
    "literal": 4,
    "literal.a": 4,
    "literal.b.c[1]": 4,
    "literal.d.e": 4,
    "dotted.one.two": 5,
    "long": 6,
    "raw": 10,
    "table": 14,
    "table.list": 15,
    "table.list[0]": 16,
    "table.list[1]": 17,
    "table.list[2][1]": 18,
    "table.list[3].x": 19,
    "table.inner": 21,
    "table.inner.y": 22,
    "many": 23,
    "many[0]": 23,
    "many[0].a": 24,
    "many[0].nested[0].b": 26,
    "many[0].nested[1]": 27,
    "many[0].nested[1].b": 28,
    "many[0].side.c": 30,
    "many[1]": 31,
    "many[1].a": 32,
    "many[1].side": 33,
    "many[1].side.c": 34,
}


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key path of parsed TOML."""
    if path:
        yield path
    items: Iterator[tuple[str | int, object]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for part, item in items:
        yield from paths(item, (*path, part))


def test_every_form_of_key_is_found_on_its_line() -> None:
    lines = {dotted(path): line for path, line in key_lines(EVERY_FORM).items()}
    assert {key: lines.get(key) for key in EXPECTED} == EXPECTED


def test_the_scanner_finds_exactly_the_keys_that_tomllib_finds() -> None:
    assert set(key_lines(EVERY_FORM)) == set(paths(tomllib.loads(EVERY_FORM)))


@pytest.mark.parametrize("text", ["", "\n\n", "# only this", "a=1", "\n[t]", "a=1\r\nb=2\r\n"])
def test_small_files_are_followed_to_their_end(text: str) -> None:
    assert set(key_lines(text)) == set(paths(tomllib.loads(text)))


names = st.sampled_from(["a", "b-c", "d_1", "e f", "ü", "g.h", "", '"'])
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8
) | st.sampled_from(["#", "]", "}", ",", '"""', "'''", "[[x]]", "a = 1", "\\", "${"])
scalars = st.integers(-9, 9) | st.booleans() | st.floats(-1, 1) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


class Writer:
    """Writes TOML and counts lines on its own, as the oracle."""

    def __init__(self) -> None:
        self.text = ""
        self.lines: dict[KeyPath, int] = {}

    def here(self, path: KeyPath) -> None:
        self.lines[path] = self.text.count("\n") + 1

    def document(self, data: dict[str, object], blanks: list[int]) -> None:
        for i, (name, value) in enumerate(data.items()):
            self.text += "# x = [\n" * blanks[i % len(blanks)]
            self.here((name,))
            self.text += f"{quoted(name)} = "
            self.value(value, (name,), inline=False)
            self.text += "\n"

    def value(self, value: object, path: KeyPath, *, inline: bool) -> None:
        if isinstance(value, bool):
            self.text += "true" if value else "false"
        elif isinstance(value, str):
            self.text += quoted(value)
        elif isinstance(value, list):
            self.text += "["
            for i, item in enumerate(value):
                self.text += "" if inline else "\n  # ]\n  "
                self.here((*path, i))
                self.value(item, (*path, i), inline=inline)
                self.text += ","
            self.text += "]"
        elif isinstance(value, dict):
            self.text += "{"
            for i, (name, item) in enumerate(value.items()):
                self.text += ", " if i else " "
                self.here((*path, name))
                self.text += f"{quoted(name)} = "
                self.value(item, (*path, name), inline=True)
            self.text += "}"
        else:
            self.text += repr(value)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(
    st.dictionaries(names, values, max_size=5),
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
)
def test_lines_agree_with_lines_counted_while_writing(
    data: dict[str, object], blanks: list[int]
) -> None:
    writer = Writer()
    writer.document(data, blanks)
    assert tomllib.loads(writer.text) == data
    assert key_lines(writer.text) == writer.lines


def test_a_path_is_written_as_people_write_it() -> None:
    assert dotted(("drivers", 1, "port")) == "drivers[1].port"
    assert dotted(("a b", "c")) == '"a b".c'
