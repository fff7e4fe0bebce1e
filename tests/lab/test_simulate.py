"""`tocsin simulate`: every fault of every scenario has its documented reaction, at a real gateway."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import structs

from tocsin.cli.output import to_json
from tocsin.cli.root import dispatch
from tocsin.lab.reactions import DeviceSeen, Outage, Watched, reaction, unharmed
from tocsin.lab.scenarios import FAULTS, SCENARIOS, Plan
from tocsin.lab.simulate import Simulation, SimulationReport
from tocsin.testing import run_process, wait_until_sync


def _run(name: str, folder: Path) -> SimulationReport:
    """A scenario with all its faults, until the gateway has reacted to each."""
    folder.mkdir()
    scenario = SCENARIOS[name]
    with Simulation(Plan(scenario, folder, list(scenario.victims), after_s=1.0)) as run:
        run.start(lambda text: None)

        def all_seen() -> bool:
            run.children.check()
            devices, reactions = run.seen()
            return all(r.seen for r in reactions) and all(
                d.samples > 1 for d in devices if d.fault != "dead-slave"
            )

        wait_until_sync(all_seen, 60.0, f"every reaction of {name}")
        return run.finish()


def test_every_fault_of_every_scenario_has_its_documented_reaction(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tocsin.cli", "simulate", "vehicle", "--for", "4"]
    command += ["--data", str(tmp_path / "sound"), "--json"]
    with run_process(command) as sound, ThreadPoolExecutor() as pool:
        runs = [pool.submit(_run, name, tmp_path / name) for name in SCENARIOS]
        reports = [json.loads(to_json(future.result())) for future in runs]
        printed = json.loads(sound.wait_line('"scenario"', 90.0))
        status = sound.wait(30.0)
    assert (printed["reactions"], printed.keys()) == ([], reports[0].keys())
    assert status == (0 if printed["ok"] else 9)
    for report in reports:
        scenario = SCENARIOS[report["scenario"]]
        reactions = {r["fault"]: r for r in report["reactions"]}
        assert reactions.keys() == scenario.victims.keys()
        missing = [r for r in report["reactions"] if not r["seen"]]
        assert missing == []
        assert report["readings"] > 0
        devices = {d["id"]: d for d in report["devices"]}
        for fault, device in scenario.victims.items():
            assert reactions[fault]["documented"] == FAULTS[fault]
            assert devices[device]["fault"] == fault
        for device in scenario.polled:
            slow = device == scenario.victims["slow-slave"]
            assert devices[device]["wrong"] == (None if slow else 0)
            alive = device != scenario.victims["dead-slave"]
            assert not alive or devices[device]["interval_p50_s"] > 0
        dead = devices[scenario.victims["dead-slave"]]
        assert (dead["state"], len(dead["outages"])) == ("unavailable", 1)
        assert report["ok"] == report["others_unharmed"]


def test_scenarios_are_listed_and_wrong_names_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["simulate", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["scenarios"]
    assert [s["name"] for s in listed] == list(SCENARIOS)
    assert {fault for s in listed for fault in s["faults"]} == set(FAULTS)
    assert dispatch(["simulate"]) == 0
    assert "stuck-value (gas-05)" in capsys.readouterr().out
    assert dispatch(["simulate", "gas-lime", "--data", str(tmp_path)]) == 2
    assert "did you mean 'gas-line'?" in capsys.readouterr().err
    wrong = ["simulate", "gas-line", "--faults", "clock-jump", "--data", str(tmp_path)]
    assert dispatch(wrong) == 2
    assert "gas-line has no fault 'clock-jump'" in capsys.readouterr().err


SOUND = DeviceSeen("d", "", 9, 9, {}, "ok", 0, [], 1.0, 0.0, 0.0, 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reaction_that_did_not_come_is_not_seen(fault: str) -> None:
    silent = structs.replace(SOUND, fault=fault, samples=0)
    assert not reaction(silent, {}).seen
    wrong = structs.replace(SOUND, fault=fault, wrong=1)
    assert reaction(wrong, {"rs485.garbage": 3}).seen == (fault == "slow-slave")


def test_a_device_that_was_flagged_lost_or_never_read_was_harmed() -> None:
    assert unharmed(SOUND)
    assert not unharmed(structs.replace(SOUND, samples=0))
    assert not unharmed(structs.replace(SOUND, flagged={"flatline": 1}))
    assert not unharmed(structs.replace(SOUND, outages=[Outage(1.0, 2.0, "no answer")]))
    assert not unharmed(structs.replace(SOUND, state="unavailable"))


def test_intervals_states_and_wrong_numbers_are_counted() -> None:
    watched = Watched(["d"])
    for second, value in ((1, 1.0), (2, 2.0), (2, 2.0), (4, 4.0)):
        watched.value(
            {"device": "d", "quantity": "h2s", "value": value, "q": 4 if second == 4 else 0,
             "time_ns": second * 10**9}
        )  # fmt: skip
    watched.value({"device": "x", "quantity": "h2s", "value": 1.0, "q": 0, "time_ns": 1})
    health = {"id": "d", "state": "unavailable", "errors": 1, "last_error": "d: no answer"}
    watched.status({"counters": {"l.garbage": 1}, "devices": [health]}, 5.0)
    watched.status({"counters": {}, "devices": [health | {"state": "ok"}]}, 7.0)
    seen = watched.device("d", "", polled=True)
    assert (seen.samples, seen.values, seen.flagged) == (3, 3, {"flatline": 1})
    assert (seen.interval_p50_s, seen.deviation_max) == (2.0, 1.0)
    assert seen.outages == [Outage(5.0, 7.0, "no answer")]
    answered = [{"device": "d", "values": {"h2s": 1}}, {"device": "d", "values": {"h2s": 4.0}}]
    assert watched.wrong("d", answered) == 1
