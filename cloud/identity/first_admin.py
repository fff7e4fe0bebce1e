"""The way in while nobody has an account: a link that works once, in a file only the owner reads."""

from __future__ import annotations

import os
from pathlib import Path

FILE = "first-admin.txt"


def write_link(data_dir: Path, link: str | None) -> None:
    """Keep the link in `data_dir/first-admin.txt` (0600); None removes an old one."""
    note = data_dir / FILE
    note.unlink(missing_ok=True)
    if link is not None:
        with os.fdopen(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(f"{link}\n")
