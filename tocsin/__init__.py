"""Tocsin: edge gateway and sensor-ingestion framework. The only package a third party imports."""

__version__ = "0.1.0"

# A release moves it to its own day: a clock that shows an earlier one was never set.
EARLIEST_NS = 1_767_225_600_000_000_000  # 2026-01-01 UTC
