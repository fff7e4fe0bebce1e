"""The configured replays of all recordings."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from edge.drivers.replay.config import ReplayConfig

_CONFIGS = Path(__file__).parent / "configs"


def tables() -> list[dict[str, Any]]:
    """Every `[[drivers]]` table of the folder `configs`."""
    return [
        table
        for path in sorted(_CONFIGS.glob("*.toml"))
        for table in tomllib.loads(path.read_text("utf-8"))["drivers"]
    ]


def load(table: dict[str, Any], shared_data: Path) -> ReplayConfig:
    """One of them, its file looked for under the shared data."""
    return ReplayConfig.model_validate(table, context={"dir": shared_data})
