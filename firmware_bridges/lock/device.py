"""`python -m firmware_bridges.lock.device`: the same as `tocsin lock-sim`, for those who start virtual devices as modules."""

from __future__ import annotations

from firmware_bridges.lock.command import app

if __name__ == "__main__":
    app()
