"""`kill -9` of each process under load: nothing acquired is lost, nothing doubled, and what was not yet acquired is bounded.

Judged by the devices' own ledgers against the store, as in the demo.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tocsin.lab.children import LabError, cloud_processes
from tocsin.lab.demo import Demo
from tocsin.lab.judge import judge
from tocsin.lab.ledger import Tally, read_ledgers
from tocsin.lab.site import Site
from tocsin.testing import wait_until_sync

COMMIT_INTERVAL_NS = 200_000_000
# From the ledger's line to the outbox's buffer: the answer's way back, the pause that ends a position (0.15 s), the queue, and
# the scheduling of busy cores. Generous: how much a kill costs is bounded by the count below.
IN_FLIGHT_NS = 1_500_000_000
FAST = Site(gas_period_s=0.1, slow_period_s=0.2, release_after_s=2.0, with_deadbands=False)


def answered(folder: Path) -> int:
    return len(read_ledgers(sorted(folder.glob("*.ndjson"))).scans)


def more_answers(folder: Path, n: int) -> None:
    """Wait until the devices have answered `n` more scans."""
    goal = answered(folder) + n
    wait_until_sync(lambda: answered(folder) >= goal, 60.0)


def newest_is_fresh(run: Demo, since_ns: int) -> bool:
    try:
        last = run.client.get("/api/v1/last")
    except LabError:  # not back yet
        return False
    return bool(last) and max(int(item["time_ns"]) for item in last) > since_ns


def run_with(folder: Path, broker: str, strike: Callable[[Demo], None]) -> Tally:
    """Bring the site up, strike under load, let it recover, stop, and judge."""
    with Demo(folder, FAST, broker=broker) as run:
        run.start(lambda _part: None)
        wait_until_sync(lambda: newest_is_fresh(run, 0), 60.0)
        more_answers(folder, 100)
        strike(run)
        recovered_ns = time.time_ns()
        wait_until_sync(lambda: newest_is_fresh(run, recovered_ns), 90.0)
        more_answers(folder, 100)
        end = run.stop()
    return judge(folder, FAST, end)[0]


def strike_cloud(kind: str) -> Callable[[Demo], None]:
    def strike(run: Demo) -> None:
        for _ in range(2):
            victim = cloud_processes(run.cloud)[kind]
            os.kill(victim.pid, signal.SIGKILL)
            more_answers(run.folder, 60)
            wait_until_sync(lambda: kind in cloud_processes(run.cloud), 60.0)

    return strike


@pytest.mark.parametrize(
    ("broker", "kind"),
    [
        ("mosquitto", "spine"),
        ("mosquitto", "web"),
        ("mosquitto", "mosquitto"),
        ("amqtt", "amqtt"),
        ("amqtt", "spine"),
    ],
)
def test_a_killed_process_of_the_cloud_loses_and_doubles_nothing(
    tmp_path: Path, broker: str, kind: str
) -> None:
    tally = run_with(tmp_path, broker, strike_cloud(kind))
    assert (tally.lost, tally.duplicates, tally.wrong) == (0, 0, 0), tally.examples
    assert tally.stored > 500


@pytest.mark.release
def test_a_broker_killed_with_all_it_had_stored_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Sessions, queued and retained messages are gone: what the commit-acks did not name is sent again."""

    def strike(run: Demo) -> None:
        for _ in range(3):
            victim = cloud_processes(run.cloud)["mosquitto"]
            spine = cloud_processes(run.cloud)["spine"]
            os.kill(
                spine.pid, signal.SIGSTOP
            )  # the broker queues for it what it confirmed to the gateway
            more_answers(run.folder, 60)
            for stored in run.folder.rglob("mosquitto.db*"):
                stored.unlink()
            os.kill(victim.pid, signal.SIGKILL)
            os.kill(spine.pid, signal.SIGCONT)
            more_answers(run.folder, 60)
            wait_until_sync(lambda: "mosquitto" in cloud_processes(run.cloud), 60.0)

    tally = run_with(tmp_path, "mosquitto", strike)
    assert (tally.lost, tally.duplicates, tally.wrong) == (0, 0, 0), tally.examples
    assert tally.stored > 500


def test_a_killed_gateway_loses_only_what_it_had_not_acquired_within_one_commit_interval(
    tmp_path: Path,
) -> None:
    kills: list[tuple[int, int]] = []

    def strike(run: Demo) -> None:
        for _ in range(3):
            before_ns = time.time_ns()
            run.edge.process.kill()
            run.edge.process.wait()
            kills.append((before_ns, time.time_ns()))
            run.start_edge()
            restarted_ns = time.time_ns()
            wait_until_sync(partial(newest_is_fresh, run, restarted_ns), 60.0)
            more_answers(run.folder, 60)

    tally = run_with(tmp_path, "mosquitto", strike)
    assert (tally.duplicates, tally.wrong) == (0, 0), tally.examples
    for scan in tally.missing:
        assert any(
            killed - COMMIT_INTERVAL_NS - IN_FLIGHT_NS <= scan.t_ns <= dead + IN_FLIGHT_NS
            for killed, dead in kills
        ), f"{scan} is lost, and no kill was near: {kills}"
    # A scan that repeats the one before it cannot be placed: it is lost too, but not named.
    assert tally.lost >= sum(len(scan.values) for scan in tally.missing)
    # Three kills, each with what one device answers in a commit interval and on the way: not a backlog.
    for device in FAST.devices:
        lost_scans = sum(scan.device == device.id for scan in tally.missing)
        allowed = (COMMIT_INTERVAL_NS + IN_FLIGHT_NS) / 1e9 / device.period_s + 1
        assert lost_scans <= len(kills) * allowed, f"{device.id}: {lost_scans}"
