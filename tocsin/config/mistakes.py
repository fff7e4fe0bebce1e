"""MistakesError that a room finds by itself, for example a name that refers to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.config.lines import KeyPath, dotted


@dataclass(frozen=True, slots=True)
class Mistake:
    """`allowed` says in plain words what may stand at `path`; `choices` are offered as the nearest match."""

    path: KeyPath
    allowed: str
    choices: Sequence[str] = ()


class MistakesError(ValueError):
    """Raised by a model's validator or a resolver; paths are relative to the model or element it looks at."""

    def __init__(self, found: Sequence[Mistake]) -> None:
        super().__init__("; ".join(f"{dotted(m.path)}: {m.allowed}" for m in found))
        self.found = tuple(found)
