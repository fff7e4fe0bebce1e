"""`tocsin bench vision`, short: the pipeline and the bare graph are measured in turns, and every camera gets its frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

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


def _bench(*argv: str) -> tuple[int, dict[str, Any], bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "tocsin.cli", "bench", "vision", "--json", *argv],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, msgspec.json.decode(done.stdout)["error"], done.stderr


def test_a_bench_whose_model_cannot_be_used_says_so_as_any_command_and_begins_nothing(
    tmp_path: Path,
) -> None:
    status, error, said = _bench("--model", "none-such")
    assert (status, error["code"], said) == (3, "vision.model", b"")
    assert error["message"] == "there is no model 'none-such'"
    assert "smoke-fire" in error["hint"]
    (tmp_path / "model.toml").write_text("nme = 'x'\n")
    status, error, said = _bench("--model", str(tmp_path))
    assert (status, error["code"], said) == (3, "config.invalid", b"")
    assert any(problem["key"] == "nme" for problem in error["problems"])


@pytest.mark.parametrize("option", ["--seconds=inf", "--seconds=nan", "--rounds=1" + "0" * 400])
def test_a_bench_without_an_end_is_a_wrong_command_line(option: str) -> None:
    status, error, _ = _bench(option)
    assert (status, error["code"]) == (2, "cli.usage")
