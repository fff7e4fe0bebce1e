"""Models that the cloud sends: put together, checked, tried, kept; the one before stays to go back to."""

from edge.rollout.desk import ModelDesk

__all__ = ["ModelDesk"]
