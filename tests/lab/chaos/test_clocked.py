from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tocsin.lab.chaos.clocked import write_offset

# A command of ours that tells the time by the product's own clock; it runs in the place of `tocsin.cli`.
CLI = """
import sys
from tocsin.sdk import SystemClock
for line in sys.stdin:
    print(SystemClock().now_ns(), SystemClock().mono_ns(), *sys.argv[1:], flush=True)
"""


def test_the_wall_clock_moves_while_the_process_runs_and_the_other_does_not(tmp_path: Path) -> None:
    (tmp_path / "tocsin_stand_in.py").write_text(CLI, "utf-8")
    start = (
        "import runpy, sys; run = runpy.run_module\n"
        "runpy.run_module = lambda name, **more: run({'tocsin.cli': 'tocsin_stand_in'}[name], **more)\n"
        "from tocsin.lab.chaos.clocked import main; main()"
    )
    clock = tmp_path / "clock"
    write_offset(clock, 0)
    with subprocess.Popen(
        [sys.executable, "-c", start, str(clock), "edge", "run"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(tmp_path)},
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        for offset_s in (0, 3600, -86_400 * 365):
            write_offset(clock, offset_s * 1_000_000_000)
            before = time.time_ns(), time.monotonic_ns()
            process.stdin.write("\n")
            process.stdin.flush()
            wall, mono, *words = process.stdout.readline().split()
            after = time.time_ns(), time.monotonic_ns()
            assert before[0] <= int(wall) - offset_s * 1_000_000_000 <= after[0]
            assert before[1] <= int(mono) <= after[1]
            assert words == ["edge", "run"]
        process.stdin.close()
