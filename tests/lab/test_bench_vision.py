"""`tocsin bench vision`, short: the pipeline and the bare graph are measured in turns, and every camera gets its frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from scripts.bench_sections import vision
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.lab.vision import VisionResult


def test_the_bench_measures_pipeline_and_bare_graph_and_nothing_fails(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", heat_graph(), HEAT_SETTINGS)
    argv = ["bench", "vision", "--model", str(folder), "--cameras", "3", "--seconds", "1.5", "--rounds", "1", "--json"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tocsin.cli", *argv], capture_output=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    found = msgspec.json.decode(done.stdout, type=VisionResult)
    (overload,) = found.overload
    assert len(found.raw) == 2
    for run in (overload, found.calm, found.alone):
        assert (run.failed, run.rejected) == (0, 0)
        assert run.decoded_per_s > 0
        assert run.rss_mb > 0
    assert overload.fewest_looked >= 1
    assert 0 < overload.latency_p50_ms <= overload.latency_p99_ms
    assert min(overload.decode_cpu_ms, overload.look_cpu_ms) > 0
    assert min(found.share_of_raw, found.share_by_cpu, found.cameras_per_core) > 0
    assert "| 1 frame/s each | 3 |" in "\n".join(vision(msgspec.to_builtins(found)))


def test_a_bench_without_its_model_says_so() -> None:
    argv = [sys.executable, "-m", "tocsin.cli", "bench", "vision", "--model", "none-such", "--seconds", "1"]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    assert done.returncode != 0
    assert b"there is no model 'none-such'" in done.stderr
