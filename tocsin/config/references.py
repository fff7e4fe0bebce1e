"""`${env:NAME}` and `${file:PATH}` inside text values. `$${` stands for `${` itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tocsin.config.lines import KeyPath
from tocsin.config.mistakes import Mistake

_REFERENCE = re.compile(r"\$?\$\{([^}]*)\}")
_MAX_FILE_BYTES = 1 << 16


class References:
    """Replaces references and remembers where, so that no message shows what came from outside the file."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environ = os.environ if environ is None else environ
        self.mistakes: list[Mistake] = []
        self.written: dict[KeyPath, str] = {}  # what the file itself says at each replaced place

    def replace(self, value: Any, path: KeyPath = ()) -> Any:
        """`value` with every reference in it replaced."""
        if isinstance(value, dict):
            return {key: self.replace(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.replace(item, (*path, i)) for i, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        self.written[path] = value
        return _REFERENCE.sub(lambda match: self._resolve(match, path), value)

    def _resolve(self, match: re.Match[str], path: KeyPath) -> str:
        if match.group().startswith("$$"):
            return match.group()[1:]
        scheme, _, name = match.group(1).partition(":")
        if scheme == "env" and name:
            if name in self._environ:
                return self._environ[name]
            self.mistakes.append(Mistake(path, f"the environment variable {name} is not set"))
        elif scheme == "file" and name:
            return self._read(name, path)
        else:
            self.mistakes.append(Mistake(path, "a reference is ${env:NAME} or ${file:PATH}"))
        return ""

    def _read(self, name: str, path: KeyPath) -> str:
        place = self._folder / Path(name).expanduser()
        try:
            with place.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
            if len(data) <= _MAX_FILE_BYTES:
                return data.decode().rstrip("\r\n")
            reason = f"larger than {_MAX_FILE_BYTES} bytes"
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
        except UnicodeDecodeError:
            reason = "not UTF-8 text"
        self.mistakes.append(Mistake(path, f"the file {place} cannot be read: {reason}"))
        return ""
