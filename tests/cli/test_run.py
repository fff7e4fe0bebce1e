"""How failures of a command become messages and exit codes."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer

from tocsin import errors
from tocsin.cli.apps import Json, new_app
from tocsin.cli.run import INTERRUPTED, run_app, run_command
from tocsin.errors import (
    BrokerError,
    ConfigError,
    ConfigProblem,
    DriverReason,
    IdentityError,
    IdentityReason,
    LinkError,
    StoreError,
    TocsinError,
)

HANG_S = 60


@pytest.fixture(autouse=True)
def _hook() -> Iterator[None]:
    """`run_command` sets the interpreter's hook for a process of its own."""
    before = sys.excepthook
    yield
    sys.excepthook = before


def app_that_raises(error: BaseException) -> typer.Typer:
    app = new_app("An app.")

    @app.command()
    def go(as_json: Json = False) -> None:
        """Fail."""
        raise error

    return app


PROBLEM = ConfigProblem(file="f", line=3, key="a.b", value="1", allowed="must be 2")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TocsinError("odd"), 1),
        (ConfigError([PROBLEM]), 3),
        (LinkError(DriverReason.NO_PORT, "no port"), 5),
        (BrokerError("gone"), 6),
        (StoreError("full"), 7),
        (IdentityError(IdentityReason.NOT_ALLOWED, "no"), 8),
        (KeyboardInterrupt(), INTERRUPTED),
        (typer.Exit(9), 9),
        (ExceptionGroup("tasks", [ExceptionGroup("inner", [BrokerError("gone")])]), 6),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt(), BrokerError("gone")]), INTERRUPTED),
    ],
)
def test_each_failure_has_its_exit_code(error: BaseException, code: int) -> None:
    assert run_app(app_that_raises(error), [], prog="tocsin x") == code


def test_a_failure_says_what_and_what_next_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    run_app(app_that_raises(StoreError("disk full", hint="make room")), [], prog="tocsin x")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: disk full\nhint: make room\nstore.failed\n")


def test_a_failure_is_one_object_on_stdout_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    run_app(app_that_raises(ConfigError([PROBLEM])), ["--json"], prog="tocsin x")
    out, err = capsys.readouterr()
    assert err == ""
    error = json.loads(out)["error"]
    assert error["code"] == "config.invalid"
    assert error["problems"][0]["line"] == 3


def test_an_error_nobody_foresaw_stays_an_error() -> None:
    group = ExceptionGroup("tasks", [BrokerError("gone"), ZeroDivisionError()])
    with pytest.raises(ExceptionGroup):
        run_app(app_that_raises(group), [], prog="tocsin x")


def test_a_command_may_return_its_exit_code() -> None:
    app = new_app("An app.")

    @app.command()
    def go() -> int:
        """Say 10."""
        return 10

    assert run_app(app, [], prog="tocsin x") == 10


def test_help_of_a_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(app_that_raises(TocsinError("no")), ["--help"], prog="tocsin x") == 0
    assert "--json" in capsys.readouterr().out


def module(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(text), "utf-8")
    monkeypatch.syspath_prepend(str(folder))


def test_an_optional_package_that_is_absent_names_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module(tmp_path, "needs_extra", "import package_that_nobody_has.inner\n", monkeypatch)
    points = {"edge": EntryPoint("edge", "needs_extra:app", "tocsin.commands")}
    assert run_command("edge", [], points) == 4
    err = capsys.readouterr().err
    assert "'package_that_nobody_has', which is not installed" in err
    assert "hint: pip install 'tocsin[edge]'\n" in err


def test_an_optional_package_that_is_absent_while_running_is_told_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
        from tocsin.cli.apps import new_app
        app = new_app("An app.")
        @app.command()
        def go():
            import package_that_nobody_has
        """
    module(tmp_path, "needs_extra_later", text, monkeypatch)
    points = {"query": EntryPoint("query", "needs_extra_later:app", "tocsin.commands")}
    assert run_command("query", [], points) == 4
    assert "pip install 'tocsin[cloud]'" in capsys.readouterr().err


def test_a_module_of_ours_that_is_absent_is_a_bug_and_no_missing_extra() -> None:
    points = {"edge": EntryPoint("edge", "edge.no_such_module:app", "tocsin.commands")}
    with pytest.raises(ModuleNotFoundError):
        run_command("edge", [], points)


BUG = """
    import sys
    from importlib.metadata import EntryPoint
    from tocsin.cli.apps import Json, new_app
    from tocsin.cli.run import run_command
    app = new_app("An app.")
    @app.command()
    def go(as_json: Json = False):
        raise ZeroDivisionError("by 0")
    sys.modules["buggy"] = sys.modules[__name__]
    point = EntryPoint("x", "buggy:app", "tocsin.commands")
    sys.exit(run_command("x", sys.argv[1:], {"x": point}))
    """


@pytest.mark.parametrize("args", [[], ["--json"]])
def test_a_bug_is_one_message_and_exit_code_1(args: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BUG), *args],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 1
    if args:
        assert json.loads(done.stdout)["error"]["code"] == "internal"
    else:
        assert done.stderr.startswith("error: ZeroDivisionError: by 0\nhint: this is a bug")
        assert "Traceback" not in done.stderr


INTERRUPTIBLE = """
    import sys, time
    from tocsin.cli.apps import new_app
    from tocsin.cli.run import run_app
    app = new_app("An app.")
    @app.command()
    def go():
        print("ready", flush=True)
        time.sleep(60)
    sys.exit(run_app(app, [], prog="tocsin x"))
    """


def _hear_ctrl_c() -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # a run started in the background passes on that it is ignored


def test_ctrl_c_ends_quietly_with_130() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTIBLE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=HANG_S)
    assert (child.returncode, err) == (INTERRUPTED, "")


def test_a_failure_inside_a_task_group_is_told_like_any_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = new_app("An app.")

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(), name="fail")

    async def fail() -> None:
        raise BrokerError("port taken")

    @app.command()
    def go() -> None:
        """Run."""
        asyncio.run(work())

    assert run_app(app, [], prog="tocsin x") == 6
    assert "error: port taken" in capsys.readouterr().err


def test_every_error_of_the_tree_has_a_documented_exit_code() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, TocsinError)]
    assert len(kinds) > 20
    assert {k.exit_code for k in kinds} <= set(range(1, 11))


PROGRAM = [sys.executable, "-c", "from tocsin.cli import main; main()"]


@pytest.mark.parametrize(
    "args", [["--help"], ["schema", "batch"], ["plugins", "--json"], ["check", "none.toml", "--json"]]
)  # fmt: skip
def test_a_standard_output_that_is_full_is_an_error_of_its_own(args: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PROGRAM, *args], stdout=full, stderr=subprocess.PIPE, text=True, timeout=HANG_S, check=False
        )  # fmt: skip
    told = done.stderr.splitlines()
    assert (done.returncode, told[0]) == (3, "error: standard output cannot be written: No space left on device")  # fmt: skip
    assert (told[1].split(":")[0], told[2:]) == ("hint", ["cli.output"])


def test_a_standard_output_that_is_closed_is_an_error_of_its_own() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "plugins", "--json"],
        stderr=subprocess.PIPE, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[0]) == (3, "error: standard output is closed")


def test_a_terminal_can_still_be_measured() -> None:
    code = (
        "import sys; from tocsin.cli import stdout; stdout.watch(); print(sys.__stdout__.fileno())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=HANG_S, check=True
    )
    assert done.stdout == b"1\n"
