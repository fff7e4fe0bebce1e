"""Child processes with captured output that can be killed hard and are always reaped."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from tocsin.broker.leash import spawn
from tocsin.testing.waiting import wait_until_sync


class Process:
    """A running child. `stdout` and `stderr` hold the lines so far; two threads drain the pipes."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._threads = [
            threading.Thread(target=_drain, args=(pipe, lines), daemon=True)
            for pipe, lines in ((popen.stdout, self.stdout), (popen.stderr, self.stderr))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    def write_line(self, text: str) -> None:
        """Send a line to its standard input."""
        assert self._popen.stdin is not None  # noqa: S101
        self._popen.stdin.write(text.encode() + b"\n")
        self._popen.stdin.flush()

    def wait_line(self, containing: str, timeout_s: float = 30.0) -> str:
        """The first line of standard output with `containing` in it.

        Raises:
            TimeoutError: no such line; the message shows what it wrote instead.
        """

        def found() -> str | None:
            return next((line for line in self.stdout if containing in line), None)

        with contextlib.suppress(TimeoutError):
            wait_until_sync(lambda: found() or self.returncode is not None, timeout_s)
        self._join_if_ended()
        line = found()
        if line is None:
            raise TimeoutError(
                f"no line with {containing!r} (status {self.returncode}); stdout {self.stdout[-5:]}, "
                f"stderr {self.stderr[-15:]}"
            )
        return line

    def wait(self, timeout_s: float = 30.0) -> int:
        """Exit status once it has ended by itself."""
        status = self._popen.wait(timeout_s)
        self._join_if_ended()
        return status

    def terminate(self, timeout_s: float = 10.0) -> int:
        """SIGTERM, then wait; SIGKILL when it does not end."""
        self._popen.terminate()
        try:
            return self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill9()

    def kill9(self) -> int:
        """SIGKILL and reap."""
        self._popen.kill()
        return self.wait()

    def _join_if_ended(self) -> None:
        if self._popen.poll() is not None:
            for thread in self._threads:
                thread.join(2.0)

    def close(self) -> None:
        """End it if it still runs and free its pipes."""
        if self._popen.poll() is None:
            self.kill9()
        self._join_if_ended()
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _drain(pipe: IO[bytes] | None, lines: list[str]) -> None:
    assert pipe is not None  # noqa: S101
    with contextlib.suppress(ValueError, OSError):
        lines.extend(raw.decode("utf-8", "replace").rstrip("\n") for raw in pipe)


@contextlib.contextmanager
def run_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Process]:
    """Run `argv` with `env` added to ours; killed and reaped at the end, and when this process dies."""
    popen = spawn(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        cwd=cwd,
    )
    process = Process(popen)
    try:
        yield process
    finally:
        process.close()
