"""Running one command: loads its app, turns every failure into a message and an exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint
from types import TracebackType
from typing import TYPE_CHECKING

from tocsin.cli import output
from tocsin.errors import MissingExtraError, OutputError, TocsinError, UsageError

if TYPE_CHECKING:
    import typer

OURS = frozenset({"tocsin", "edge", "cloud", "firmware_bridges"})
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports for a command that SIGPIPE ended


_NO_COMMAND = re.compile(r"No such command '([^']*)'")


def debugging() -> bool:
    """Whether tracebacks are wanted: `--debug` or TOCSIN_DEBUG=1."""
    return os.environ.get("TOCSIN_DEBUG", "") not in ("", "0")


def usage_error(message: str, hint: str, args: Sequence[str]) -> int:
    """Report a wrong command line; exit code 2."""
    return output.fail(UsageError(message, hint=hint), as_json="--json" in args)


def run_command(name: str, args: Sequence[str], points: Mapping[str, EntryPoint]) -> int:
    """Load the command `name` and run it with `args`; the exit code."""
    if name not in points:
        near = get_close_matches(name, points, n=1, cutoff=0.5)
        hint = f"did you mean `tocsin {near[0]}`?" if near else "`tocsin --help` lists the commands"
        return usage_error(f"no such command: {name}", hint, args)
    sys.excepthook = _JsonHook() if "--json" in args else _hook
    try:
        app: typer.Typer = points[name].load()
    except ModuleNotFoundError as exc:
        return output.fail(_missing(name, exc), as_json="--json" in args)
    return run_app(app, args, prog=f"tocsin {name}")


def run_app(app: typer.Typer, args: Sequence[str], *, prog: str) -> int:
    """Run a Typer app with `args` (without the program's name); the exit code."""
    from typer.exceptions import Abort, Exit, TyperException
    from typer.main import get_command

    as_json = "--json" in args
    try:
        command = get_command(app)
        with command.make_context(prog, list(args)) as context:
            result = command.invoke(context)
        sys.stdout.flush()
    except Exit as exc:
        return exc.exit_code
    except TyperException as exc:
        return _usage(exc, prog, args)
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _left()
    except TocsinError as exc:
        return _fail(exc, as_json=as_json)
    except ModuleNotFoundError as exc:
        return _fail(_missing(prog.split()[1], exc), as_json=as_json)
    except BaseExceptionGroup as group:
        ours = list(_leaves(group))
        if any(isinstance(leaf, KeyboardInterrupt) for leaf in ours):
            return INTERRUPTED
        errors = [leaf for leaf in ours if isinstance(leaf, TocsinError)]
        if len(errors) < len(ours):
            raise
        return _fail(errors[0], as_json=as_json)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def closed_output() -> int:
    """Report that there is no standard output; the exit code."""
    error = OutputError(
        "standard output is closed", hint="to see nothing of a command, append: >/dev/null"
    )
    return output.fail(error, as_json=False)


def lost_output(failure: OSError) -> int:
    """Report that standard output takes no more; the exit code."""
    if isinstance(failure, BrokenPipeError):
        return _left()
    _silence()
    error = OutputError(
        f"standard output cannot be written: {failure.strerror or failure}",
        hint="make room where it leads to, or lead it elsewhere",
    )
    return output.fail(error, as_json=False)


def _left() -> int:
    """The reader of a pipe left (`| head`)."""
    _silence()
    return BROKEN_PIPE


def _silence() -> None:
    """Keep the interpreter's own flush at exit quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(exc: Exception, prog: str, args: Sequence[str]) -> int:
    """A usage error of Typer's in our shape. Bare groups show their help, which Typer raises as an error too."""
    message = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    message = message if message.lower().startswith("usage:") else " ".join(message.split())
    context = getattr(exc, "ctx", None)
    path = context.command_path if context is not None else prog
    if message.lower().startswith("usage:"):
        output.note(message)
        return 2
    help_hint = f"`{path} --help` shows what it takes"
    wrong, near = _nearest(exc, message, context)
    if near:
        return usage_error(wrong, f"did you mean `{path} {near}`? {help_hint}", args)
    return usage_error(wrong, help_hint, args)


def _nearest(exc: Exception, message: str, context: typer.Context | None) -> tuple[str, str]:
    """(what is wrong, the sub-command or option that was probably meant)."""
    command = context.command if context is not None else None
    if type(exc).__name__ == "NoSuchOption":  # another one lacks its value
        option = str(getattr(exc, "option_name", ""))
        known = {n.lstrip("-"): n for p in getattr(command, "params", ()) for n in p.opts}
        near = get_close_matches(option.lstrip("-"), known, n=1)
        return f"no such option: {option}", known[near[0]] if near else ""
    subcommands = list(getattr(command, "commands", ()))
    found = _NO_COMMAND.match(message)
    if found is not None:
        near = get_close_matches(found[1], subcommands, n=1, cutoff=0.5)
        return f"no such command: {found[1]}", near[0] if near else ""
    return message, ""


def _missing(command: str, exc: ModuleNotFoundError) -> TocsinError:
    """Which extra is to be installed for the module that `exc` did not find."""
    module = (exc.name or "").split(".")[0]
    if module in OURS or not module:
        raise exc
    from tocsin.cli.root import COMMANDS

    return MissingExtraError(COMMANDS[command][1] if command in COMMANDS else "all", module)


def _fail(error: TocsinError, *, as_json: bool) -> int:
    if debugging():
        traceback.print_exception(error)
    return output.fail(error, as_json=as_json)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from _leaves(inner)
        else:
            yield inner


def _hook(
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    *,
    as_json: bool = False,
) -> None:
    """An exception nobody foresaw is a bug: one line for people, the traceback when asked for."""
    if issubclass(kind, KeyboardInterrupt):
        return
    if debugging():
        traceback.print_exception(kind, error, trace)
    bug = TocsinError(
        f"{kind.__name__}: {error}", hint="this is a bug; run again with --debug and report it"
    )
    output.fail(bug, as_json=as_json)


class _JsonHook:
    """`_hook` for `--json`."""

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        _hook(kind, error, trace, as_json=True)
