"""What one row costs; figures for people, no assertion on time."""

from __future__ import annotations

import time

from edge.pipeline import AlarmRule, CheckRule, Pipeline
from tocsin.sdk import Channel, DeviceSpec, Sample

WIDE = DeviceSpec("wide", "bench", tuple(Channel(f"v{i:02d}", "1") for i in range(40)))
SAMPLES = [Sample(WIDE, i + 1, tuple(float(i + j) for j in range(40))) for i in range(2000)]


def cost_us(pipeline: Pipeline) -> float:
    """Microseconds per row."""
    began = time.perf_counter()
    rows = sum(len(pipeline.process(sample, sample.ts_ns).rows) for sample in SAMPLES)
    assert rows == len(SAMPLES)
    return (time.perf_counter() - began) / rows * 1e6


def test_forty_values_without_rules_pass_untouched() -> None:
    pipeline = Pipeline([WIDE])
    (row,) = pipeline.process(SAMPLES[0], 0).rows
    assert row.values is SAMPLES[0].values
    print(f"40 values, no rules: {cost_us(pipeline):.2f} us per row")  # noqa: T201


def test_forty_values_with_rules_are_judged() -> None:
    checks = [CheckRule("wide", f"v{i:02d}", low=-1.0, high=1e9, rate_per_s=1e12) for i in range(4)]
    pipeline = Pipeline([WIDE], checks, [AlarmRule("wide", "v00", "a", level1=1e9)])
    print(f"40 values, 4 checks, 1 alarm: {cost_us(pipeline):.2f} us per row")  # noqa: T201
