"""Which frames thresholds are learned from, and which are scored. The two never meet."""

from __future__ import annotations

import hashlib

LEAST_QUIET = 20
"""A camera with fewer quiet frames is not calibrated."""


def for_calibration(file_name: str, quiet: bool) -> bool:
    """Quiet frames whose name has a SHA-256 that ends in an even number: they teach thresholds and are never scored."""
    return quiet and hashlib.sha256(file_name.encode()).digest()[-1] % 2 == 0
