"""The configuration as it holds: every setting with its value, secrets masked, and where the value comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeGuard

import msgspec
from pydantic import BaseModel

from tocsin.config.explain import sounds_secret
from tocsin.config.lines import KeyPath, dotted
from tocsin.config.load import Loaded, M, read
from tocsin.config.types import HIDDEN, Secret

_REFERENCE = re.compile(r"(\$?)\$\{(env|file):([^}]+)\}")
_ABSENT = object()

Origin = Literal["file", "environment", "secret file", "default"]


class Setting(msgspec.Struct, frozen=True):
    """One setting. `place` is `file:line` where the file has it; `source` names the variable or the file behind it."""

    key: str
    value: Any
    origin: Origin
    place: str = ""
    source: str = ""

    @property
    def told(self) -> str:
        """The origin in words."""
        if self.origin == "file":
            return self.place
        return (
            "default" if self.origin == "default" else f"{self.origin} {self.source} ({self.place})"
        )


def settings(loaded: Loaded[M]) -> Iterator[Setting]:
    """Every setting of a valid file, in the order of its model; those of a table that is not there are left out."""
    raw, _ = read(loaded.path)
    yield from _Walk(loaded).visit((), loaded.value, raw)


class _Walk:
    def __init__(self, loaded: Loaded[M]) -> None:
        self._loaded = loaded

    def visit(self, path: KeyPath, value: object, raw: object) -> Iterator[Setting]:
        """`raw` is what the file says at `path`."""
        named_elsewhere = isinstance(raw, str) and isinstance(value, BaseModel)
        if isinstance(value, BaseModel) and not named_elsewhere:
            for name, info in type(value).model_fields.items():
                key = info.alias or name
                yield from self.visit((*path, key), getattr(value, name), _item(raw, key))
        elif _tables(value):
            for i, item in enumerate(value):
                yield from self.visit((*path, i), item, _item(raw, i))
        else:
            yield self._setting(path, raw if named_elsewhere else value, raw)

    def _setting(self, path: KeyPath, value: object, raw: object) -> Setting:
        hidden = isinstance(value, Secret) or (
            isinstance(value, str) and sounds_secret(str(path[-1]))
        )
        shown = HIDDEN if hidden else plain(value)
        if raw is _ABSENT:
            return Setting(dotted(path), shown, "default")
        place = self._loaded.origin(*path)
        behind = [m for m in _REFERENCE.finditer(raw) if not m[1]] if isinstance(raw, str) else []
        if not behind:
            return Setting(dotted(path), shown, "file", place)
        from_file = any(match[2] == "file" for match in behind)
        return Setting(
            dotted(path),
            HIDDEN if from_file else shown,
            "secret file" if from_file else "environment",
            place,
            ", ".join(match[3] for match in behind),
        )


def plain(value: object) -> Any:
    """`value` as JSON has it; no secret shows itself."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path | Secret):
        return str(value)
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if isinstance(item, str) and sounds_secret(str(key)) else plain(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _tables(value: object) -> TypeGuard[Sequence[BaseModel]]:
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(isinstance(item, BaseModel) for item in value)


def _item(raw: object, part: str | int) -> object:
    if isinstance(raw, dict) and isinstance(part, str):
        return raw.get(part, _ABSENT)
    if isinstance(raw, list) and isinstance(part, int) and part < len(raw):
        return raw[part]
    return _ABSENT
