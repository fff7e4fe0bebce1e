"""The mark of a restore that did not end."""

from __future__ import annotations

from pathlib import Path

from tocsin.errors import StoreError

UNFINISHED = "restore.part"


def refuse_unfinished(data: Path) -> None:
    """Nobody may run on half a restore.

    Raises:
        StoreError: a restore into `data` was not finished.
    """
    if (data / UNFINISHED).exists():
        raise StoreError(
            f"a restore into {data} was not finished", hint="run `tocsin restore` again"
        )
