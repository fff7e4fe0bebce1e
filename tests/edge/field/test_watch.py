"""`tocsin watch`: the worst first, at any size, on a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.alarm_desk import AlarmView
from edge.devices import LastValue
from edge.field.picture import Gateway, Line, Picture, Rank, picture
from edge.field.screen import age, coloured, lines, page_count
from tests.edge.app.conftest import TOCSIN
from tests.edge.field.conftest import Run, Start
from tocsin.broker.leash import spawn
from tocsin.cli.output import cell_width
from tocsin.cli.root import dispatch
from tocsin.contract.messages import DeviceHealth
from tocsin.contract.quality import Quality
from tocsin.testing import Process, wait_until_sync

S = 1_000_000_000
NOW = 1_000 * S


def _gateway(*devices: DeviceHealth) -> Gateway:
    return Gateway("gw-1", "plant", 60.0, None, 0, list(devices))


def _health(name: str, state: str = "ok", age_s: float | None = 0.0) -> DeviceHealth:
    last = None if age_s is None else NOW - int(age_s * S)
    return DeviceHealth(name, "gas", "line", state, 1.0, last, last_error="no answer")


def _alarm(device: str, level: int, *, acknowledged: bool = False) -> AlarmView:
    return AlarmView(
        f"{device}-{level}", device, "h2s", "h2s", level, beyond=True, acknowledged=acknowledged,
        actor="", value=9.0, limit=4.0, latched=True, raised_ns=0, changed_ns=0,
    )  # fmt: skip


def test_alarms_come_first_then_bad_stale_uncertain_and_good_values() -> None:
    devices = [
        _health("well"),
        _health("doubtful"),
        _health("broken"),
        _health("old", age_s=60.0),
        _health("dead", "unavailable", age_s=None),
        _health("new", "starting", age_s=None),
        _health("acked"),
        _health("alarmed"),
    ]
    quality = {"doubtful": Quality.RATE, "broken": Quality.RANGE}
    values = [
        LastValue(d.id, "h2s", 1.0, "[ppm]", int(quality.get(d.id, 0)), NOW)
        for d in devices
        if d.last_ok_ns is not None
    ]
    alarms = [_alarm("acked", 2, acknowledged=True), _alarm("alarmed", 1), _alarm("alarmed", 2)]
    shown = picture(_gateway(*devices), values, alarms, NOW)
    assert [(row.device, row.quality) for row in shown.rows] == [
        ("alarmed", "good"),
        ("acked", "good"),
        ("broken", "bad: range"),
        ("dead", "no answer"),
        ("new", "starting"),
        ("old", "stale"),
        ("doubtful", "rate"),
        ("well", "good"),
    ]
    assert [row.alarm for row in shown.rows[:3]] == ["level 2 NEW", "level 2 ack", ""]
    assert shown.rows[5].age_s == 60.0


def test_an_alarm_without_a_value_is_seen_too() -> None:
    shown = picture(_gateway(_health("gas-01")), [], [_alarm("gas-01", 1)], NOW)
    assert [(r.rank, r.quantity, r.value, r.alarm) for r in shown.rows] == [
        (Rank.ALARM, "h2s", None, "level 1 NEW")
    ]


_TEXT = st.text(st.sampled_from("abc-0气象站[%]\x1b\n"), max_size=40)
_LINES = st.builds(
    Line,
    st.sampled_from(list(Rank)), _TEXT, _TEXT,
    st.one_of(st.none(), st.floats(allow_nan=False), st.integers(), st.booleans(), _TEXT),
    _TEXT, st.one_of(st.none(), st.floats(0, 1e8)), _TEXT, _TEXT,
)  # fmt: skip


@given(st.lists(_LINES, max_size=30), st.integers(40, 200), st.integers(5, 50), st.integers(0, 9))
def test_no_line_is_wider_and_no_screen_higher_than_the_terminal(
    rows: list[Line], width: int, height: int, page: int
) -> None:
    shown = Picture(NOW, "gw-1", "plant", 1.0, True, 0, 0, rows)
    drawn = lines(shown, width, height, page)
    assert len(drawn) == height
    assert max(map(cell_width, drawn)) <= width
    assert all(text.isprintable() for text in drawn)
    assert len(coloured(shown, drawn, height, page)) == height
    if width >= 80:
        assert "alarm" in drawn[1]
    assert page_count(shown, height) * (height - 3) >= len(rows)


@given(st.floats(0, 1e8))
def test_an_age_has_at_most_six_characters(seconds: float) -> None:
    assert len(age(seconds)) <= 6


def test_a_running_gateway_is_shown_once_or_as_objects(
    config: Path, agent: Process, run: Run, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    def both() -> bool:
        code, objects, _ = run("watch", "--once", "-c", str(config))
        qualities = {row["device"]: row["quality"] for row in objects[0]["rows"]}
        return code == 0 and qualities == {"gas-01": "good", "gas-02": "no answer"}

    wait_until_sync(both, what="one head that answers and one that does not")
    assert dispatch(["watch", "--once", "-c", str(config)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("gw-1 at plant   0 alarms, 1 bad")
    assert printed[2].split()[0] == "gas-02"
    assert dispatch(["watch", "-c", str(config)]) == 2  # no terminal here
    assert "--once or --json" in capsys.readouterr().err
    stream = start(*TOCSIN[1:], "watch", "--json", "--every", "0.2", "-c", str(config))
    wait_until_sync(lambda: len(stream.stdout) >= 2, what="two looks")
    first, second = (json.loads(text)["time_ns"] for text in stream.stdout[:2])
    assert second > first
    assert agent.terminate() == 0
    code, objects, _ = run("watch", "--once", "-c", str(config))
    assert (code, objects[0]["error"]["code"]) == (6, "control.failed")


@contextmanager
def _terminal(*argv: str) -> Iterator[tuple[Callable[[], str], Callable[[bytes], None], Any]]:
    """A command on a terminal of 80 by 24: what it wrote so far, a way to type, and the process."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.set_blocking(ours, False)
    process = spawn(
        [sys.executable, *argv], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    written = bytearray()

    def read() -> str:
        try:
            while data := os.read(ours, 65536):
                written.extend(data)
        except BlockingIOError:
            pass
        return written.decode("utf-8", "replace")

    def press(keys: bytes) -> None:
        os.write(ours, keys)

    try:
        yield read, press, process
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)


def test_the_screen_counts_ages_up_and_q_gives_the_terminal_back(
    config: Path, agent: Process
) -> None:
    with _terminal(*TOCSIN[1:], "watch", "-c", str(config)) as (read, press, process):
        wait_until_sync(lambda: "\x1b[?1049h" in read(), what="the alternate screen")
        wait_until_sync(lambda: "gas-01" in read(), what="a device")
        agent.kill9()
        wait_until_sync(lambda: "does not answer" in read(), what="that the agent has gone")
        wait_until_sync(lambda: re.search(r" [2-9]\.\ds ", read()), what="values that grow older")
        press(b"x")
        press(b"q")
        assert process.wait(10) == 0
        assert read().endswith("\x1b[?25h\x1b[?1049l")
