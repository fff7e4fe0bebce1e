"""Completion as a shell asks for it, and in a real bash at a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tocsin.cli.complete import complete
from tocsin.cli.completion import SCRIPTS
from tocsin.cli.root import command_points, dispatch
from tocsin.sdk.driver import driver_names

HANG_S = 60.0
BIN = Path(sys.executable).parent


def _values(*words: str) -> list[str]:
    return [line.split("\t")[1] if "\t" in line else f"<{line}>" for line in complete(words)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ed"], ["edge"]),
        (["--ver"], ["--version"]),
        (["--debug", "edg"], ["edge"]),
        (["edge", "sta"], ["status"]),
        (["edge", "alarms", ""], ["ack", "reset"]),
        (["edge", "alarms", "ack", "--act"], ["--actor"]),
        (["edge", "run", "--log-level", "w"], ["warning"]),
        (["edge", "run", "--log-level", "=", "w"], ["warning"]),
        (["edge", "run", "-c", ""], ["<file>"]),
        (["check", "a.toml", ""], ["<file>"]),
        (["completion", "z"], ["zsh"]),
        (["completion", "zsh", ""], []),
        (["new", ""], ["driver"]),
        (["sample", "nm"], ["nmea"]),
        (["conformance", "repl"], ["replay"]),
        (["init", "--driver", "jt"], ["jt808"]),
        (["decode", "hj"], ["hj212"]),
        (["simulate", "gas"], ["gas-line"]),
        (["schema", "commit"], ["commit-ack"]),
        (["nothing", ""], []),
        (["edge", "nothing", ""], []),
    ],
)
def test_what_may_stand_at_the_cursor(words: list[str], found: list[str]) -> None:
    assert _values(*words) == found


def test_devices_are_offered_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[[drivers]]\ntype = "modbus"\n[[drivers.devices]]\nid = "gas-01"\n[[drivers.devices]]\nid = "river"\n'
        '[[drivers]]\ntype = "nmea"\ndevice = "gas-van"\n[[drivers]]\ndevices = 5\n',
        "utf-8",
    )
    for command in (["test"], ["trace"], ["edge", "command"]):
        assert _values(*command, "-c", str(path), "ga") == ["gas-01", "gas-van"]
    path.write_text("no [ toml", "utf-8")
    assert _values("test", "-c", str(path), "") == []
    assert _values("test", "-c", str(tmp_path / "none.toml"), "") == []


def test_every_command_is_offered_and_every_driver() -> None:
    assert _values("") == list(command_points())
    assert _values() == list(command_points())
    assert _values("sample", "") == sorted(driver_names())


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_there_is_a_script_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "--complete" in script
    assert dispatch(["completion", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shell": shell, "script": script}
    program = shutil.which(shell)
    if program is not None:  # bash always is; its syntax check reads the script from standard input
        done = subprocess.run([program, "-n"], input=script, text=True, timeout=HANG_S, check=False)
        assert done.returncode == 0


def test_a_shell_without_a_script_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["completion", "csh"]) == 2
    assert "csh" in capsys.readouterr().err


class Terminal:
    """A shell at a pseudo-terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait(self, text: str) -> str:
        """Everything up to `text`."""
        seen = ""
        while text not in seen:
            ready, _, _ = select.select([self._fd], [], [], HANG_S)
            assert ready, seen
            seen += os.read(self._fd, 4096).decode("utf-8", "replace")
        return seen


@contextmanager
def _bash(folder: Path) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    env = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(folder), "TERM": "dumb", "PS1": "$ "}
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=folder, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(ours)
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def test_a_real_bash_completes_commands_options_values_and_files(tmp_path: Path) -> None:
    (tmp_path / "my gateway.toml").write_text("", "utf-8")
    assert (BIN / "tocsin").is_file()
    with _bash(tmp_path) as terminal:
        terminal.type("source <(tocsin completion bash); echo sour''ced\n")
        terminal.wait("sourced\r\n")
        for typed, becomes in (
            ("tocsin edge sta\t", "tocsin edge status "),
            ("tocsin edge alarms ack --act\t", "tocsin edge alarms ack --actor "),
            ("tocsin edge run --log-level w\t", "tocsin edge run --log-level warning "),
            ("tocsin edge run --log-level=w\t", "tocsin edge run --log-level=warning "),
            ("tocsin check my\t", "tocsin check my\\ gateway.toml "),
            ("tocsin sample nm\t", "tocsin sample nmea "),
        ):
            terminal.type(typed)
            terminal.wait(becomes)
            terminal.type("\x15echo cle''ared\n")  # \x15 empties the line
            terminal.wait("cleared\r\n")


def test_a_missing_shell_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["completion"]) == 2
    assert "Choose from: bash, zsh, fish\n" in capsys.readouterr().err
