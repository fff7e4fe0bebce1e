"""The crew of a site, as tests of permits have it."""

from __future__ import annotations

from tests.cloud.permits.conftest import crew

__all__ = ["crew"]
