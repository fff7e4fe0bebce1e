"""The API's OpenAPI description, without a running cloud."""

from __future__ import annotations

import json
import sys
from typing import Any

from fastapi import FastAPI

from cloud.api.application import include_routes


def description() -> dict[str, Any]:
    """As `/api/v1/openapi.json` serves it."""
    app = FastAPI(
        title="Tocsin",
        version="1",
        description="Devices, alarms and series of one cloud. Times are Unix nanoseconds UTC.",
    )
    include_routes(app)
    described: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return described


if __name__ == "__main__":
    sys.stdout.write(json.dumps(description(), indent=1, ensure_ascii=False) + "\n")
