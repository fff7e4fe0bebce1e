"""The `[store]` table of cloud.toml for `type = "local"`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LocalOptions(BaseModel):
    """How much the embedded store keeps hot, and what it may use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["local"] = Field(default="local", description="the embedded store")
    hot_hours: float = Field(
        default=48.0,
        gt=0,
        description="rows older than this move to Parquet files by day and measurement",
    )
    roll_interval_s: float = Field(
        default=900.0, gt=0, description="seconds between two roll-overs"
    )
    memory_mb: int = Field(
        default=512,
        ge=64,
        description="memory that writing and all queries may use together, in MB",
    )
    spill_mb: int = Field(
        default=2048, ge=0, description="temporary disk space for large queries, in MB"
    )
    threads: int = Field(default=2, ge=1, le=64, description="threads that one query may use")
    checkpoint_mb: int = Field(
        default=64,
        ge=1,
        description="the write-ahead log is folded into the file at this size, in MB",
    )
    max_columns: int = Field(
        default=256,
        ge=1,
        le=4096,
        description="quantities per measurement; a further one is rejected",
    )
    max_measurements: int = Field(
        default=500, ge=1, description="measurements; a further one is rejected"
    )
