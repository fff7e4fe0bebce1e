"""Finding profile files: the shipped ones by name, others by path."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

import tocsin
from firmware_bridges.modbus.profile import Profile
from tocsin.errors import ConfigError, ConfigProblem


def profile_dir() -> Path:
    """Where the shipped profiles are: in the wheel beside `tocsin`, in a checkout under configs/."""
    package = Path(tocsin.__file__).parent
    packed = package / "_data" / "configs" / "profiles"
    return packed if packed.is_dir() else package.parent / "configs" / "profiles"


def profile_names() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in profile_dir().glob("*.toml"))


def profile_path(name: str, folder: Path = Path()) -> Path:
    """The file for a profile's name, or for a path (with `/` or `.toml`) relative to `folder`."""
    if "/" in name or name.endswith(".toml"):
        return folder / name
    return profile_dir() / f"{name}.toml"


def load_profile(name: str, folder: Path = Path()) -> Profile:
    """The profile of that name or path.

    Raises:
        ConfigError: no such file, or mistakes in it.
    """
    path = profile_path(name, folder)
    try:
        return Profile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as exc:
        allowed = f"{exc.strerror}; shipped profiles: {', '.join(profile_names())}"
        raise ConfigError([_problem(path, "", name, allowed)]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError([_problem(path, "", "", str(exc))]) from exc
    except ValidationError as exc:
        raise ConfigError(
            [
                _problem(path, ".".join(map(str, e["loc"])), repr(e["input"])[:80], e["msg"])
                for e in exc.errors()
            ]
        ) from exc


def _problem(path: Path, key: str, value: str, allowed: str) -> ConfigProblem:
    return ConfigProblem(file=str(path), line=0, key=key, value=value, allowed=allowed)
