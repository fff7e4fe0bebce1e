"""The HTTP API: one application, every route behind the gate."""

from __future__ import annotations

from cloud.api.application import create_api
from cloud.api.services import Services, Spine

__all__ = ["Services", "Spine", "create_api"]
