"""`tocsin chaos` as a user runs it: on the product, which must pass, and on builds that are broken, which must not."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tocsin.lab.chaos.faults import available, schedule
from tocsin.testing import Process, run_process, wait_until_sync

HERE = Path(__file__).parent
SEED = 71
AS_ROOT = os.geteuid() == 0
ENDS_S = 240.0


def chaos(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-P", "-m", "tocsin.cli", "chaos", "--data", str(folder), "--json", *more]  # fmt: skip


def report_of(run: Process) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.stdout[-1])
    return found


@pytest.mark.timeout(300)
def test_a_minute_of_everything_loses_nothing_and_as_root_the_disks_are_really_full_and_read_only(
    tmp_path: Path,
) -> None:
    root = ["--disks"] if AS_ROOT else []
    with run_process(chaos(tmp_path, "--minutes", "1", "--seed", str(SEED), *root)) as run:
        status = run.wait(ENDS_S)
    assert run.stdout, run.stderr
    told = report_of(run)
    assert (told["drained"], told["audit"], told["examples"]) == (True, "complete", [])
    assert status == 0, told
    assert (told["lost"], told["duplicated"], told["wrong"]) == (0, 0, 0)
    assert told["acquired"] == told["stored"] > 3000
    assert told["restarts"] == 0
    planned = [f.name for f in schedule(SEED, 60.0, available(disks=AS_ROOT))]
    assert [f"{f['kind']}:{f['target']}" for f in told["faults"]] == planned
    assert told["faults_landed"] == sum(f["landed"] for f in told["faults"]) >= 2
    assert all(f["recovered_s"] is not None for f in told["faults"])
    if AS_ROOT:
        assert {"disk-full:gateway", "disk-full:spine", "read-only:gateway"} <= set(planned)


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("broken", "fault", "minutes"),
    [
        ("hasty_gateway", "kill:gateway", "0.3"),  # three kills: one may fall just after a commit
        pytest.param("hasty_spine", "kill:spine", "0.3", marks=pytest.mark.release),
    ],
)
def test_a_build_that_acknowledges_before_it_commits_is_found_out(
    tmp_path: Path, broken: str, fault: str, minutes: str
) -> None:
    args = chaos(tmp_path, "--minutes", minutes, "--seed", "3", "--only", fault)
    with run_process(args, env={"PYTHONPATH": str(HERE / broken)}) as run:
        status = run.wait(ENDS_S)
    assert run.stdout, run.stderr
    told = report_of(run)
    assert status == 9
    assert told["lost"] > 0
    assert not told["passed"]
    assert any(line.startswith("lost: push-") for line in told["examples"])


@pytest.mark.timeout(200)
def test_what_ends_by_itself_fails_a_run_that_lost_nothing(tmp_path: Path) -> None:
    args = chaos(tmp_path, "--minutes", "0.3", "--seed", "3", "--only", "kill:spine")
    with run_process(args, env={"PYTHONPATH": str(HERE / "falling_web")}) as run:
        status = run.wait(ENDS_S)
    assert run.stdout, run.stderr
    told = report_of(run)
    assert (told["lost"], told["duplicated"], told["wrong"], told["drained"]) == (0, 0, 0, True)
    assert told["faults_landed"] >= told["faults_needed"]
    assert told["restarts"] >= 1
    assert (status, told["passed"]) == (9, False)


@pytest.mark.release
@pytest.mark.timeout(200)
def test_ctrl_c_ends_the_faults_and_still_counts(tmp_path: Path) -> None:
    with run_process(chaos(tmp_path, "--minutes", "5", "--seed", "3", "--only", "kill:web")) as run:
        wait_until_sync(lambda: any("kill:web" in line for line in run.stderr), 60.0)
        os.kill(run.pid, signal.SIGINT)
        assert run.wait(ENDS_S) in (0, 9)  # one fault may be too few for five minutes
    told = report_of(run)
    assert (told["lost"], told["duplicated"], told["wrong"], told["drained"]) == (0, 0, 0, True)
    assert told["seconds"] < 60


def test_the_faults_that_can_be_played_are_listed(tmp_path: Path) -> None:
    with run_process(chaos(tmp_path, "--only", "list")) as run:
        assert run.wait() == 0
    assert report_of(run) == {"faults": available(disks=False)}


@pytest.mark.parametrize(
    ("only", "hint"),
    [("kil:gateway", "did you mean 'kill:gateway'?"), ("disk-full:gateway", "run it as root")],
)
def test_a_fault_that_cannot_be_played_is_refused_by_name(
    tmp_path: Path, only: str, hint: str
) -> None:
    with run_process(chaos(tmp_path, "--only", only)) as run:
        assert run.wait() == 2
    error = report_of(run)["error"]
    assert only in error["message"]
    assert hint in error["hint"]
