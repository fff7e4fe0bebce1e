"""`tocsin trace` and `tocsin test`, with an agent and without one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.field.shown_frame import Reader, missed_line, summary
from edge.frames import Frame, Missed
from tests.edge.app.conftest import TOCSIN
from tests.edge.field.conftest import Run, Start
from tocsin.cli.root import dispatch
from tocsin.testing import Process, wait_until_sync

ASKED = {"unit": 1, "function": 4, "kind": "read request", "address": 0, "count": 5}


def _said(objects: list[Any], direction: str) -> list[Any]:
    return [o["frame"] for o in objects if o.get("direction") == direction and "frame" in o]


@pytest.mark.parametrize("with_agent", [True, False])
def test_a_device_that_answers_shows_its_samples_beside_their_frames(
    with_agent: bool, config: Path, run: Run, request: pytest.FixtureRequest
) -> None:
    if with_agent:
        request.getfixturevalue("agent")
    code, objects, err = run("test", "gas-01", "-n", "2", "--raw", "-c", str(config))
    assert code == 0, err
    assert ("through the running agent" in err) == with_agent
    samples = [o for o in objects if "sample" in o]
    assert [s["sample"] for s in samples] == [1, 2]
    values = {v["quantity"]: v for v in samples[0]["values"]}
    assert (values["o2"]["unit"], values["o2"]["q"]) == ("%{vol}", 0)
    assert samples[0]["raw"]["o2"][0] == pytest.approx(10 * values["o2"]["value"])
    assert objects[-1] == {
        "device": "gas-01", "wanted": 2, "answered": 2, "through_agent": with_agent,
    }  # fmt: skip
    asked, answered = _said(objects, "tx"), _said(objects, "rx")
    assert asked[-1].items() >= ASKED.items()
    assert answered[-1]["registers"][3] == samples[1]["raw"]["o2"][0]
    assert not (config.parent / "data" / "outbox").exists() or with_agent


@pytest.mark.parametrize("with_agent", [True, False])
def test_a_device_that_does_not_answer_is_exit_code_5_with_what_to_do(
    with_agent: bool, config: Path, run: Run, request: pytest.FixtureRequest
) -> None:
    if with_agent:
        request.getfixturevalue("agent")
    code, objects, _ = run("test", "gas-02", "--timeout", "0.7", "-c", str(config))
    error = objects[-1]["error"]
    assert (code, error["message"]) == (5, "gas-02: no answer")
    assert "A and B" in error["hint"]
    assert "tocsin discover modbus" in error["hint"]
    if not with_agent:  # an agent asks a silent device only now and then
        assert _said(objects, "tx")[0]["unit"] == 2


WRONG = """
[[drivers.devices]]
id = "gas-04"
unit_id = 999
profile = "four-gas-head"
"""


@pytest.mark.parametrize("with_agent", [True, False])
def test_a_mistake_elsewhere_in_the_file_keeps_nobody_from_a_device_that_is_right(
    with_agent: bool, config: Path, run: Run, request: pytest.FixtureRequest
) -> None:
    config.write_text(config.read_text("utf-8") + WRONG, "utf-8")
    if with_agent:
        request.getfixturevalue("agent")
    code, objects, err = run("test", "gas-01", "-n", "1", "-c", str(config))
    assert (code, objects[-1].get("answered")) == (0, 1), err
    assert run("trace", "gas-01", "-n", "1", "-c", str(config))[0] == 0
    code, objects, _ = run("test", "gas-04", "-c", str(config))
    assert (code, objects[-1]["error"]["code"]) == (3, "config.invalid")
    assert "999" in objects[-1]["error"]["message"]


def test_a_name_that_is_not_there_is_told_with_the_nearest(config: Path, run: Run) -> None:
    for command in ("test", "trace"):
        code, objects, _ = run(command, "gas-03", "-c", str(config))
        assert code == 2
        assert objects[-1]["error"]["hint"].startswith("did you mean 'gas-0")


def test_trace_shows_what_the_agent_kept_and_then_what_comes_and_nobody_else_gets_its_port(
    config: Path, agent: Process, run: Run, start: Start
) -> None:
    def kept() -> bool:
        return len(run("trace", "gas-01", "-c", str(config))[1]) >= 4

    wait_until_sync(kept, what="four frames")
    code, objects, _ = run("trace", "gas-01", "--last", "2", "-c", str(config))
    assert (code, len(objects)) == (0, 2)
    assert {o["device"] for o in objects} == {"gas-01"}
    follow = start(
        *TOCSIN[1:], "trace", "rs485-1", "--last", "0", "--follow", "-c", str(config), "--json"
    )
    follow.wait_line('"unit":2')
    follow.wait_line('"registers"')
    os.kill(follow.pid, signal.SIGINT)
    assert (follow.wait(), follow.stderr) == (130, [])
    times = [msgspec.json.decode(text)["time_ns"] for text in follow.stdout]
    assert times == sorted(times)
    code, objects, _ = run("trace", "gas-03", "-c", str(config))
    assert (code, objects[0]["error"]["code"]) == (2, "cli.usage")

    other = config.parent / "other"  # another gateway's file names the same port
    other.mkdir()
    path = other / "gateway.toml"
    path.write_text(config.read_text("utf-8"), "utf-8")
    code, objects, _ = run("test", "gas-01", "-c", str(path))
    assert (code, objects[-1]["error"]["code"]) == (5, "driver.link")
    assert "in use" in objects[-1]["error"]["message"]
    assert agent.returncode is None


def test_trace_without_an_agent_opens_the_port_itself(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["trace", "gas-01", "--last", "4", "-c", str(config)]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert [text.split()[2] for text in lines] == ["tx", "rx", "tx", "rx"]
    assert "01 04 00 00 00 05 30 09  unit=1 function=4 kind=read request" in lines[0]
    assert "kind=response" in lines[1]
    assert "opening the port of rs485-1" in shown.err


def test_one_line_says_what_a_frame_says() -> None:
    frame = Frame("l", "modbus", "d", 0, "rx", 5, "01830231f0")
    told = Reader().read(frame)
    assert told["error"]["code"] == "checksum"
    assert "refused: CRC is" in Reader().line(frame)
    whole = Frame("l", "nmea", "d", 0, "rx", 2000, "24" * 1024)  # cut: nobody can read it
    assert Reader().read(whole).keys() == set(Frame.__struct_fields__)
    unknown = Frame("l", "no-such", "d", 0, "tx", 1, "00")
    assert Reader().line(unknown, age_s=2.04) == "00:00:00.000   -2.0s  tx    1  00"
    facts = {"a": {"b": 0, "c": True}, "d": [1, {"e": 2.5}], "f": False, "g": None, "h": "x" * 200}
    assert summary(facts).startswith("a.b=0 a.c d=[1 {e=2.5}] h=xxx")
    assert len(summary(facts)) == 150
    assert summary({"text": "\x1b[2J", "more": ["\n"]}) == "text=?[2J more=[?]"
    assert "7 frames" in missed_line(Missed(7))
