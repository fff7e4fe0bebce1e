"""A distribution of somebody else: its modules and entry points in a folder that goes onto the path, nothing installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def lay_out(
    folder: Path, name: str, files: Mapping[str, str], points: Mapping[str, Mapping[str, str]]
) -> Path:
    """Write the modules `files` and the metadata of distribution `name` 1.2.3 with entry points by group; its folder."""
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    info = folder / f"{name.replace('-', '_')}-1.2.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n", "utf-8"
    )
    lines = []
    for group, found in points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in found.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return folder
