"""The API's description is a checked-in file. `scripts/openapi` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

from cloud.api.describe import description

FILE = Path(__file__).parents[3] / "docs" / "reference" / "openapi.json"


def test_the_checked_in_description_is_the_one_the_cloud_serves() -> None:
    assert json.loads(FILE.read_text("utf-8")) == description(), "run scripts/openapi"


def test_every_operation_says_what_it_does() -> None:
    for path, methods in description()["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path}"
