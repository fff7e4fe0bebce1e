"""`tocsin bench spine` runs and its count is clean. How fast it is belongs to the bench, not to a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_the_spine_bench_reads_back_every_stored_reading(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tocsin.cli", "bench", "spine", "--seconds", "3", "--json"],
        env={**os.environ, "TOCSIN_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    for figure in (result["modbus"], result["generated"]):
        assert figure["readings_read_back"] == figure["readings_stored"] > 0
        assert (figure["wrong"], figure["duplicates"]) == (0, 0), figure
        assert figure["processes"].keys() >= {"edge", "spine", "web"}
    assert result["modbus"]["missing"] == 0
    assert result["readings_per_s"] == result["modbus"]["readings_per_s"] > 0
    assert result["reference_reads_per_s"] > 0
