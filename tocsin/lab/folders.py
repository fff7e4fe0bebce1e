"""Where a run of the lab writes: a folder of its own."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tocsin.cli.paths import state_root, unusable
from tocsin.errors import FolderError

KEPT_RUNS = 3


def new_folder(kind: str) -> Path:
    """A folder of its own for each run of `kind`; the newest few are kept.

    Raises:
        FolderError: it cannot be made.
    """
    root = state_root() / kind
    folder = root / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    try:
        runs = sorted(p for p in root.glob("[0-9]*") if p.is_dir())
        for old in runs[: max(0, len(runs) - KEPT_RUNS + 1)]:
            shutil.rmtree(old, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise unusable(root, exc) from exc
    return folder


def given_folder(folder: Path) -> Path:
    """The folder that `--data` names, made.

    Raises:
        FolderError: it cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise FolderError(
            f"the folder {folder} cannot be made: {exc.strerror}",
            hint="--data names a folder that can be written",
        ) from exc
    return folder
