"""The crew of a site before a running cloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cloud.permits.crew import Crew
from tests.cloud.permits.line import Line

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud


@pytest.fixture
def crew(cloud: RunningCloud) -> Iterator[Crew]:
    """Everything is in the ledger; nobody has applied yet."""
    crew = Crew(cloud)
    crew.furnish()
    crew.air()
    yield crew
    crew.http.close()


@pytest.fixture
def line(cloud: RunningCloud, crew: Crew, tmp_path: Path) -> Line:
    """The crew, and a real gateway's desk."""
    return Line(cloud, crew, tmp_path / "permits")
