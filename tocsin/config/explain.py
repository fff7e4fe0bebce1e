"""From what pydantic says to what a technician needs: place, value, what is allowed, nearest key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tocsin.config.lines import KeyPath
from tocsin.config.mistakes import Mistake, MistakesError
from tocsin.config.schema import Node, SchemaView
from tocsin.config.types import HIDDEN

_SECRET_WORDS = ("password", "passwd", "passphrase", "pass", "secret", "token", "credential", "key")
_MAX_SHOWN = 60
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake before it has a file and a line. `value` is ready to be shown."""

    path: KeyPath
    value: str
    allowed: str
    nearest: str = ""
    unknown_key: bool = False
    absent: bool = False


class Explainer:
    """Explains the errors of one model. `written`: texts of the file where a reference was replaced."""

    def __init__(self, model: type[BaseModel] | None, written: Mapping[KeyPath, str]) -> None:
        self._view = SchemaView(model)
        self._written = written

    def explain(self, error: ValidationError, data: object, prefix: KeyPath) -> Iterator[Finding]:
        """The findings of `error`; `prefix` is where `data` stands in the file."""
        seen: set[KeyPath] = set()
        for detail in error.errors(include_url=False):
            path, node, value = self._locate(detail, data)
            inner = (detail.get("ctx") or {}).get("error")
            if isinstance(inner, MistakesError):
                for mistake in inner.found:
                    full = Mistake((*path, *mistake.path), mistake.allowed, mistake.choices)
                    yield self.said(full, data, prefix)
            elif path not in seen and not _has_enough(detail):
                seen.add(path)
                yield self._finding(detail, prefix, path, node, value)

    def said(self, mistake: Mistake, data: object, prefix: KeyPath) -> Finding:
        """A room's own mistake, with the value that stands there."""
        node: Node | None = self._view.root
        value: object = data
        for part in mistake.path:
            node = self._view.child(node, part) if node is not None else None
            value = _item(value, part)
        nearest = _nearest(value, mistake.choices)
        shown = self._shown((*prefix, *mistake.path), node, value)
        return Finding((*prefix, *mistake.path), shown, mistake.allowed, nearest)

    def _locate(self, detail: ErrorDetails, data: object) -> tuple[KeyPath, Node, object]:
        """Path in the data (pydantic's also names branches of unions), its schema and its value."""
        path: KeyPath = ()
        node: Node = self._view.root
        value = data
        loc = detail["loc"]
        for i, part in enumerate(loc):
            tagged = self._view.tagged(node, part) if isinstance(part, str) else None
            if tagged is not None:
                node = tagged
                continue
            inner = _item(value, part)
            is_last = i == len(loc) - 1
            if inner is _ABSENT and not (
                is_last and detail["type"] in ("missing", "extra_forbidden")
            ):
                continue
            child = self._view.child(node, part)
            if detail["type"] == "extra_forbidden" and is_last:
                return (*path, part), node, inner
            path, node, value = (*path, part), child or {}, inner
        return path, node, value

    def _finding(
        self, detail: ErrorDetails, prefix: KeyPath, path: KeyPath, node: Node, value: object
    ) -> Finding:
        kind, full = detail["type"], (*prefix, *path)
        if kind == "extra_forbidden":
            known = self._view.keys(node)
            nearest = _nearest(path[-1], known)
            near_node = self._view.child(node, nearest) or {}
            hide = sounds_secret(str(path[-1])) or self._view.is_secret(near_node)
            shown = HIDDEN if hide else self._shown(full, None, value)
            allowed = "not a known key; known here: " + ", ".join(known)
            return Finding(full, shown, allowed, nearest, unknown_key=True)
        if kind == "missing":
            allowed = f"required: {self._view.described(node)}"
            return Finding(full, "", allowed, absent=True)
        if kind in ("union_tag_invalid", "union_tag_not_found"):
            return self._tag(detail, full, value)
        shown = self._shown(full, node, value)
        if kind in ("value_error", "assertion_error"):
            said = detail["msg"].partition(", ")[2] or detail["msg"]
            return Finding(full, "" if isinstance(value, dict) else shown, said)
        allowed = f"must be {self._view.described(node)}" if node else detail["msg"]
        return Finding(full, shown, allowed, _nearest(value, self._view.choices(node)))

    def _tag(self, detail: ErrorDetails, path: KeyPath, value: object) -> Finding:
        """The key that chooses between kinds of table is absent or names none."""
        key = str(detail["ctx"]["discriminator"]).strip("'")
        tag = _item(value, key)
        tags = re.findall(r"'([^']*)'", str(detail["ctx"].get("expected_tags", "")))
        listed = f"one of {', '.join(map(json.dumps, tags))}" if tags else "the kind of this table"
        if tag is _ABSENT:
            return Finding((*path, key), "", f"required: {listed}", absent=True)
        return Finding((*path, key), show(tag), f"must be {listed}", _nearest(tag, tags))

    def _shown(self, path: KeyPath, node: Node | None, value: object) -> str:
        if path in self._written:
            return json.dumps(self._written[path], ensure_ascii=False)
        if node is not None and self._view.is_secret(node):
            return HIDDEN if value is not _ABSENT else ""
        return show(value)


_ACCOUNT = re.compile(r"://[^/@\s\"]*@")  # of an address: a password may be in it


def show(value: object) -> str:
    """A value of the file, as TOML writes it, cut to a line; tables are only named, for a secret may be inside."""
    if value is _ABSENT:
        return ""
    if isinstance(value, dict | BaseModel):
        return "a table"
    if isinstance(value, list):
        if any(isinstance(item, dict | list | BaseModel) for item in value):
            return f"a list of {len(value)}"
        text = "[" + ", ".join(show(item) for item in value) + "]"
    elif isinstance(value, str | bool):
        text = _ACCOUNT.sub("://***@", json.dumps(value, ensure_ascii=False))
    else:
        text = str(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def sounds_secret(name: str) -> bool:
    """Whether a key, perhaps misspelled, names something that must not be shown."""
    parts = [part for part in re.split(r"[^a-z]+", name.lower()) if part]
    return any(get_close_matches(part, _SECRET_WORDS, n=1, cutoff=0.75) for part in parts)


def _has_enough(detail: ErrorDetails) -> bool:
    """A list is too short only because elements of it are wrong, which is told of these."""
    given = detail["input"]
    return (
        detail["type"] == "too_short"
        and isinstance(given, list | tuple)
        and len(given) >= detail["ctx"]["min_length"]
    )


def _item(value: object, part: str | int) -> object:
    if isinstance(value, dict):
        return value.get(part, _ABSENT)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return _ABSENT


def _nearest(word: Any, choices: Any) -> str:
    if not isinstance(word, str):
        return ""
    near = get_close_matches(word, [c for c in choices if c != word], n=1, cutoff=0.6)
    return near[0] if near else ""
