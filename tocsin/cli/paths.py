"""Where Tocsin keeps what it must remember between commands of one user."""

from __future__ import annotations

import os
from pathlib import Path

from tocsin.errors import FolderError

_LAST_CLOUD = "last-cloud"


def state_root() -> Path:
    """`$TOCSIN_DATA`, else `$XDG_STATE_HOME/tocsin`, else `~/.local/state/tocsin`. May not exist yet."""
    if chosen := os.environ.get("TOCSIN_DATA"):
        return Path(chosen)
    state_home = os.environ.get("XDG_STATE_HOME")
    return (Path(state_home) if state_home else Path.home() / ".local" / "state") / "tocsin"


def unusable(folder: Path, error: OSError) -> FolderError:
    """What to say of a state folder that cannot be made or written."""
    return FolderError(
        f"the folder {folder} cannot be made or written: {error.strerror or error}",
        hint="set TOCSIN_DATA to a folder that can be written",
    )


def last_cloud_dir() -> Path | None:
    """The data directory of the cloud that was started last, if it still exists."""
    try:
        line = (state_root() / _LAST_CLOUD).read_text("utf-8").strip()
    except OSError:
        return None
    return Path(line) if line and Path(line).is_dir() else None


def remember_cloud_dir(path: Path) -> None:
    """Make `path` what `last_cloud_dir` answers."""
    root = state_root()
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f"{_LAST_CLOUD}.{os.getpid()}"
    draft.write_text(f"{path.resolve()}\n", "utf-8")
    draft.replace(root / _LAST_CLOUD)
