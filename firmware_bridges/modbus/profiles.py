"""Finding profile files: the shipped ones by name, others by path."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from firmware_bridges.modbus.profile import Profile
from tocsin.cli.data import data_dir
from tocsin.config import Loaded, load
from tocsin.errors import ConfigError, ConfigProblem


def profile_names() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in (data_dir("configs") / "profiles").glob("*.toml"))


def profile_path(name: str, folder: Path = Path()) -> Path:
    """The file for a profile's name, or for a path (with `/` or `.toml`) relative to `folder`."""
    if "/" in name or name.endswith(".toml"):
        return folder / Path(name).expanduser()
    return data_dir("configs") / "profiles" / f"{name}.toml"


def load_profile(name: str, folder: Path = Path()) -> Profile:
    """The profile of that name or path.

    Raises:
        ConfigError: no such file, or mistakes in it.
    """
    path = profile_path(name, folder)
    if path.parent == data_dir("configs") / "profiles" and not path.exists():
        allowed = f"no such profile; shipped: {', '.join(profile_names())}; or give a path"
        problem = ConfigProblem(file=str(path), line=0, key="", value=name, allowed=allowed)
        raise ConfigError([problem])
    try:
        found = path.stat()
    except OSError:
        return load(path, Profile).value
    return _read(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=64)
def _read(path: Path, _mtime_ns: int, _size: int) -> Profile:
    """One object for every device that has this profile, until the file changes."""
    return load(path, Profile).value


def load_profile_file(path: Path) -> Loaded[Profile]:
    """A profile file for `tocsin check`.

    Raises:
        ConfigError: with every mistake in it.
    """
    return load(path, Profile)
