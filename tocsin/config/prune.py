"""A configuration without what is wrong in it: which elements hold the mistakes, and the file without them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tocsin.config.lines import KeyPath

_DEEPEST = 2  # a device of a driver may be left out, but not a part of a device


def element_of(raw: Mapping[str, Any], path: KeyPath) -> KeyPath:
    """What must be left out for a mistake at `path`: the array element around it, else the whole section."""
    found: KeyPath = path[:1]
    value: Any = raw
    depth = 0
    for i, part in enumerate(path):
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(part, int) and isinstance(value, dict):
            found, depth = path[: i + 1], depth + 1
            if depth == _DEEPEST:
                break
    return found


def without(
    raw: Mapping[str, Any], lines: Mapping[KeyPath, int], elements: Collection[KeyPath]
) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """The document without these elements; every other key keeps the line it stands at."""
    gone = frozenset(elements)
    kept = {p: line for p, line in lines.items() if not any(p[:n] in gone for n in _upto(p))}
    renumbered = {_renumbered(path, gone): line for path, line in kept.items()}
    return {k: _pruned(v, (k,), gone) for k, v in raw.items() if (k,) not in gone}, renumbered


def _pruned(value: Any, path: KeyPath, gone: frozenset[KeyPath]) -> Any:
    if isinstance(value, dict):
        inner = {key: (*path, key) for key in value}
        return {k: _pruned(value[k], p, gone) for k, p in inner.items() if p not in gone}
    if isinstance(value, list):
        places = [(*path, i) for i in range(len(value))]
        pairs = zip(value, places, strict=True)
        return [_pruned(item, place, gone) for item, place in pairs if place not in gone]
    return value


def _renumbered(path: KeyPath, gone: frozenset[KeyPath]) -> KeyPath:
    out: KeyPath = ()
    for i, part in enumerate(path):
        if isinstance(part, int):
            before = sum((*path[:i], n) in gone for n in range(part))
            part -= before
        out = (*out, part)
    return out


def _upto(path: KeyPath) -> range:
    return range(1, len(path) + 1)
