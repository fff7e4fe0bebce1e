"""What may stand at the cursor: `tocsin --complete WORDS...`, asked by the shell; the last word is the one being typed.

A line is `plain<TAB>value<TAB>help`, or `file` or `dir`: names of files or folders, which the shell knows better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from tocsin.cli.root import COMMANDS, ROOT_OPTIONS, command_points

if TYPE_CHECKING:
    from typer import Context


class _Item(NamedTuple):
    type: str
    value: str = ""
    help: str = ""


_FILE = _Item("file")


def complete(words: Sequence[str]) -> Iterator[str]:
    """The lines for these words (without the program's name)."""
    typed = [word for word in words if word != "="] or [""]
    *before, current = typed if words[-1:] != ["="] else [*typed, ""]
    while before and before[0] in ("--debug", "--json"):
        del before[0]
    if not before:
        wanted = ROOT_OPTIONS if current.startswith("-") else dict.fromkeys(command_points(), "")
        for name, help_text in wanted.items():
            if name.startswith(current):
                yield f"plain\t{name}\t{help_text or COMMANDS.get(name, ('',))[0]}"
        return
    yield from _of_command(before, current)


def _of_command(before: list[str], current: str) -> Iterator[str]:
    from typer.main import get_command

    from tocsin.sdk.plugins import PluginError, load_point

    point = command_points().get(before[0])
    if point is None:
        return
    try:
        command: Any = get_command(load_point(point))
    except PluginError:
        return  # not installed: the command itself says so
    words = before[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if getattr(command, "commands", None) and any(not word.startswith("-") for word in words):
        return  # a sub-command that is none
    with command.make_context("tocsin", list(words), resilient_parsing=True) as context:
        for item in _items(command, context, words, current):
            if item.type == "plain":
                help_text = " ".join((item.help or "").split())
                yield f"plain\t{item.value}\t{help_text}"
            else:
                yield item.type


def _items(command: Any, context: Context, words: list[str], current: str) -> list[Any]:
    """Values of the option before the cursor, options, sub-commands, or values of the next argument."""
    options = {
        name: p
        for p in command.params
        if p.param_type_name == "option"
        for name in (*p.opts, *p.secondary_opts)
    }
    last = options.get(words[-1]) if words else None
    found: list[Any]
    if last is not None and not last.is_flag:
        found = _values(last, context, current)
    elif current.startswith("-") or getattr(command, "commands", None):
        found = command.shell_complete(context, current)
    else:
        free = (p for p in command.params if p.param_type_name == "argument" and _open(p, context))
        argument = next(free, None)
        found = _values(argument, context, current) if argument is not None else []
    return found


def _values(param: Any, context: Context, current: str) -> list[Any]:
    annotation = param.type_descriptor.annotation
    if Path in (annotation, *get_args(annotation)):
        return [_FILE]
    values: list[Any] = param.shell_complete(context, current)
    return values


def _open(argument: Any, context: Context) -> bool:
    """Whether the words so far leave this argument without its value, or take another."""
    return argument.nargs == -1 or context.params.get(argument.name) in (None, argument.default)
