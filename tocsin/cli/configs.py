"""Kinds of configuration file, published by rooms in the entry-point group `tocsin.configs`.

The entry point's name is the top-level table that tells the kind, or the name of the file (`model.toml`); its value loads
such a file and is annotated with `Loaded[Model]`.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import get_args, get_type_hints

from pydantic import BaseModel

from tocsin.config import Loaded
from tocsin.config.load import read
from tocsin.errors import ConfigError, ConfigProblem

Loader = Callable[[Path], Loaded[BaseModel]]


def kinds() -> dict[str, EntryPoint]:
    """Installed kinds by name."""
    return {point.name: point for point in entry_points(group="tocsin.configs")}


def kind_of(path: Path) -> str:
    """Which kind of file `path` is.

    Raises:
        ConfigError: unreadable, or of no known kind.
    """
    raw, lines = read(path)
    known = kinds()
    for name in known:
        if name in raw:
            return name
    if path.suffix == ".toml" and path.stem in known:
        return path.stem
    tables = ", ".join(f"[{name}]" for name in known)
    near = next((m for key in raw for m in get_close_matches(key, known, n=1)), "")
    problem = ConfigProblem(
        file=str(path),
        line=min(lines.values(), default=1),
        key="",
        value="",
        allowed=f"not a configuration of Tocsin: it has none of the tables {tables}",
        nearest=near,
    )
    raise ConfigError([problem])


def load_any(path: Path) -> tuple[str, Loaded[BaseModel]]:
    """(kind, loaded configuration).

    Raises:
        ConfigError: anything is wrong with it.
    """
    kind = kind_of(path)
    loader: Loader = kinds()[kind].load()
    return kind, loader(path)


def model_of(kind: str) -> type[BaseModel]:
    """The model behind a kind, from its loader's annotation."""
    loaded = get_type_hints(kinds()[kind].load())["return"]
    model: type[BaseModel] = get_args(loaded)[0]
    return model
