"""The root command as a user types it, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import tocsin
from tocsin.cli.root import COMMANDS, dispatch, help_text

HANG_S = 60
# what must not be imported to print help: rooms, and what makes start-up slow
HEAVY = {"edge", "cloud", "firmware_bridges", "pydantic", "typer", "rich", "msgspec", "numpy", "duckdb"}  # fmt: skip


def tocsin_command(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from tocsin.cli import main; main()", *args],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
        env={**os.environ, **env},
    )


def test_help_lists_every_installed_command_and_exits_0() -> None:
    done = tocsin_command("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for point in entry_points(group="tocsin.commands"):
        assert f"\n  {point.name} " in done.stdout
    assert done.stdout == help_text() + "\n"


def test_every_shipped_command_has_its_line_of_help() -> None:
    assert {point.name for point in entry_points(group="tocsin.commands")} == set(COMMANDS)


@pytest.mark.parametrize("args", [["--help"], ["--version"], []])
def test_help_imports_no_room_and_nothing_slow(args: list[str]) -> None:
    code = (
        "import sys\n"
        "from tocsin.cli.root import dispatch\n"
        f"dispatch({args!r})\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True
    )
    loaded = {name.split(".")[0] for name in done.stderr.splitlines()}
    assert loaded & HEAVY == set()


def test_without_a_command_help_goes_to_stderr_and_exits_2() -> None:
    done = tocsin_command()
    assert (done.returncode, done.stdout) == (2, "")
    assert "commands:" in done.stderr


def test_the_version_is_the_packages() -> None:
    assert tocsin_command("--version").stdout == f"tocsin {tocsin.__version__}\n"


def test_an_unknown_command_offers_the_nearest() -> None:
    done = tocsin_command("qurey", "SELECT 1")
    assert (done.returncode, done.stdout) == (2, "")
    expected = "error: no such command: qurey\nhint: did you mean `tocsin query`?\ncli.usage\n"
    assert done.stderr == expected


def test_an_unknown_command_fails_in_json_when_asked() -> None:
    done = tocsin_command("zzz", "--json")
    assert (done.returncode, done.stderr) == (2, "")
    error = json.loads(done.stdout)["error"]
    assert (error["code"], set(error)) == ("cli.usage", {"code", "message", "hint"})


def test_an_unknown_root_option_is_a_usage_error() -> None:
    done = tocsin_command("--loud", "check")
    assert done.returncode == 2
    assert "no such option: --loud" in done.stderr


def test_json_may_stand_before_the_command(tmp_path: Path) -> None:
    done = tocsin_command("--json", "check", "-c", str(tmp_path / "absent.toml"))
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "config.invalid"


def test_a_wrong_option_of_a_command_names_its_help() -> None:
    done = tocsin_command("check", "--colour")
    assert done.returncode == 2
    assert "no such option: --colour" in done.stderr
    assert "`tocsin check --help`" in done.stderr


@pytest.mark.parametrize(
    ("args", "said", "near"),
    [
        (("--verison",), "no such option: --verison", "`tocsin --version`"),
        (("edge", "rnu"), "no such command: rnu", "`tocsin edge run`"),
        (("edge", "alarms", "akc"), "no such command: akc", "`tocsin edge alarms ack`"),
        (
            ("edge", "run", "--conifg", "x"),
            "no such option: --conifg",
            "`tocsin edge run --config`",
        ),
        (("init", "--drivr", "x"), "no such option: --drivr", "`tocsin init --driver`"),
    ],
)
def test_a_typo_in_a_sub_command_or_option_offers_the_nearest(
    args: tuple[str, ...], said: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(args) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}\nhint: did you mean {near}?")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("permit", "revoke", "--url", "x"), "error: no such option: --url\nhint: `tocsin permit revoke --help`"),
        (("unlock", "--key"), "error: Option '--key' requires an argument.\nhint: `tocsin unlock --help`"),
        (("permit", "revoke", "a/b", "--all"), "error: --all means every lock\n"),
        (("demo", "--scene", "confined-space", "--release-after", "3"), "error: --release-after is of the scene plant\n"),
        (("demo", "--scene", "forest", "--no-browser"), "error: --browser is of the scene plant\n"),
        (("permit", "list", "--url", "http://127.0.0.1:1"), "error: --url needs a token\n"),
    ],
)  # fmt: skip
def test_a_usage_error_points_to_nothing_that_was_not_meant(
    args: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TOCSIN_TOKEN", raising=False)
    assert dispatch(args) == 2
    assert capsys.readouterr().err.startswith(said)


def test_the_traceback_is_printed_only_when_asked_for(tmp_path: Path) -> None:
    args = ("check", "-c", str(tmp_path / "absent.toml"))
    assert "Traceback" not in tocsin_command(*args).stderr
    assert "Traceback" in tocsin_command("--debug", *args).stderr
    assert "Traceback" in tocsin_command(*args, TOCSIN_DEBUG="1").stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -c 'from tocsin.cli import main; main()' schema batch | head -c 1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=HANG_S, check=True
    )
    assert (done.stdout, done.stderr) == ("{", "")


def test_a_backup_without_a_folder_says_what_is_missing() -> None:
    done = tocsin_command("backup")
    assert done.returncode == 2
    assert "back up to where?" in done.stderr
    assert "`tocsin backup DIR`" in done.stderr
