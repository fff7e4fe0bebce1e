"""The benches run and their counts are clean. How fast it is belongs to the bench, not to a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tocsin.sdk.codec import codec_names, load_examples


def bench(tmp_path: Path, *args: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tocsin.cli", "bench", *args, "--json"],
        env={**os.environ, "TOCSIN_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_spine_bench_reads_back_every_stored_reading(tmp_path: Path) -> None:
    result = bench(tmp_path, "spine", "--seconds", "3")
    for figure in (result["modbus"], result["generated"]):
        assert figure["readings_read_back"] == figure["readings_stored"] > 0
        assert (figure["wrong"], figure["duplicates"]) == (0, 0), figure
        assert figure["processes"].keys() >= {"edge", "spine", "web"}
    assert result["modbus"]["missing"] == 0
    assert result["readings_per_s"] == result["modbus"]["readings_per_s"] > 0
    assert result["reference_reads_per_s"] > 0


def test_the_gateway_bench_counts_every_value_at_the_sink(tmp_path: Path) -> None:
    result = bench(tmp_path, "gateway", "--rate", "500", "--seconds", "2")
    for figure in (result["offered"], result["flood"]):
        assert (figure["lost"], figure["duplicated"], figure["wrong"]) == (0, 0, 0), figure
        assert figure["stamp_to_sink_ms"]["n"] == figure["messages"] > 0
        assert figure["cpu_us_per_message"] > 0
        assert figure["peak_rss_mb"] > 0
    assert result["limits"]["transport_only_messages_per_s"] > 0
    assert result["ratio_to_transport_only"] > 0


def test_the_bench_of_a_line_measures_its_live_devices_beside_others(tmp_path: Path) -> None:
    result = bench(tmp_path, "line", "--seconds", "3")
    assert set(result["lines"]) == {"live", "dead", "slow", "dead_and_slow"}
    for kept in result["lines"].values():
        assert kept["samples"] >= 8
        assert 0 <= kept["p50_percent"] <= kept["p99_percent"] <= kept["max_percent"]


def test_the_bench_of_drivers_reads_every_codec_and_loses_no_read(tmp_path: Path) -> None:
    result = bench(tmp_path, "drivers", "--devices", "20", "--servers", "2", "--seconds", "3")
    assert set(result["codecs"]) == {n for n in codec_names() if load_examples(n).frames}
    assert all(codec["frames_per_s"] > 0 for codec in result["codecs"].values())
    fleet = result["modbus_tcp"]
    assert (fleet["devices"], fleet["wrong"], fleet["lost"]) == (20, 0, 0)
    assert fleet["kept"]["samples"] >= 20
    assert fleet["rss_mb"] > 0


@pytest.mark.release
def test_the_growth_bench_counts_every_reading_at_every_step(tmp_path: Path) -> None:
    result = bench(tmp_path, "growth", "--seconds", "2")
    assert [step["step"] for step in result["steps"]] == [1, 2, 3, 4]
    for step in result["steps"]:
        assert (step["missing"], step["doubled"], step["wrong"]) == (0, 0, 0), step
        assert step["readings"] > 0
    log = result["steps"][3]["processes"]
    assert log.keys() >= {"nats-1", "nats-2", "nats-3", "forward-1", "ingest-1", "ingest-2"}
