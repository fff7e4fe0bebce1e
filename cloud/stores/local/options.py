"""The `[store]` table of cloud.toml for `type = "local"`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud.stores.local.retention import Retention, short_bins, shortest_raw_days
from tocsin.config import Mistake, MistakesError


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
    retention: Retention = Field(
        default=Retention(), description="how long rows are kept, and their down-samples"
    )

    @model_validator(mode="after")
    def _hot_before_gone(self) -> LocalOptions:
        shortest = shortest_raw_days(self.retention)
        if shortest is not None and shortest * 24 < self.hot_hours:
            raise ValueError(
                f"retention.raw_days = {shortest} is less than hot_hours = {self.hot_hours:g}"
            )
        return self

    @model_validator(mode="after")
    def _bins_outlast_rows(self) -> LocalOptions:
        """Bins that go before the rows they were made of leave nothing."""
        mistakes = [
            Mistake(
                ("retention", *(("measurements", name) if name else ()), key),
                f"{days} days are less than raw_days = {raw}: the bins would go before their rows",
            )
            for name in ("", *self.retention.measurements)
            for key, days, raw in short_bins(self.retention, name)
        ]
        if mistakes:
            raise MistakesError(mistakes)
        return self
