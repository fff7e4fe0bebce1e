"""Asking a running agent, from the command line. Blocking, standard library sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from edge.control.protocol import Failure, Reply, Request
from tocsin.errors import (
    AlarmRefusal,
    AlarmRefusedError,
    ConfigError,
    ConfigProblem,
    ControlError,
    TocsinError,
    UsageError,
)

_replies = msgspec.json.Decoder(Reply)


def _raised(failure: Failure) -> TocsinError:
    """The agent's error, raised here: an alarm's refusal, mistakes in a file and a wrong name stay what they are."""
    if failure.code == AlarmRefusedError.code:
        return AlarmRefusedError(AlarmRefusal(failure.reason), failure.message, hint=failure.hint)
    if failure.code == ConfigError.code:
        return ConfigError([ConfigProblem(**problem) for problem in failure.problems])
    if failure.code == UsageError.code:
        return UsageError(failure.message, hint=failure.hint)
    return ControlError(failure.message, hint=failure.hint)


def ask(
    path: Path, op: str, args: dict[str, str] | None = None, *, timeout_s: float = 5.0
) -> object:
    """One operation's result.

    Raises:
        ControlError: no agent answers there, or it cannot.
        AlarmRefusedError: the alarm's state forbids it.
    """
    with _connected(path, timeout_s) as lines:
        lines.send(Request(op, args or {}))
        return lines.receive().result


def answers(path: Path) -> bool:
    """Whether an agent runs there, and owns its ports.

    Raises:
        ControlError: nobody can tell: the socket is another user's.
    """
    try:
        with _connected(path, 1.0):
            return True
    except ControlError as exc:
        gone = exc.__cause__
        if isinstance(gone, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
            return False
        raise


def follow(
    path: Path, op: str, args: dict[str, str] | None = None, *, idle_s: float | None = None
) -> Iterator[dict[str, object]]:
    """The items of a stream, until it ends, or none came for `idle_s`.

    Raises:
        ControlError: no agent answers there, or it went away.
    """
    with _connected(path, idle_s) as lines, suppress(TimeoutError):
        lines.send(Request(op, args or {}))
        while not (reply := lines.receive()).end:
            yield msgspec.convert(reply.item, dict[str, object])


class _Lines:
    def __init__(self, sock: socket.socket, file: BinaryIO) -> None:
        self._sock, self._file = sock, file

    def send(self, request: Request) -> None:
        self._sock.sendall(msgspec.json.encode(request) + b"\n")

    def receive(self) -> Reply:
        line = self._file.readline()
        if not line:
            raise ControlError("the agent closed the connection", hint="is it stopping?")
        reply = _replies.decode(line)
        if reply.error is not None:
            raise _raised(reply.error)
        return reply


@contextmanager
def _connected(path: Path, timeout_s: float | None) -> Iterator[_Lines]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect(str(path))
            with sock.makefile("rb") as file:
                yield _Lines(sock, file)
        except OSError as exc:
            raise ControlError(
                f"no agent answers at {path}: {exc.strerror or exc}",
                hint="is `tocsin edge run` running with this configuration, as this user?",
            ) from exc
