"""Child processes that die with their parent, even when the parent is killed with SIGKILL (Linux, prctl(2)).

Run as a script it is the trampoline: `leash.py PARENT_PID SIGNAL COMMAND...` asks the kernel for the signal, then
becomes the command. The kernel sends it when the *thread* that started the child ends, so one thread starts them all.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, sig: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `sig` to this process when its parent ends; exits now if `parent` is already gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


@cache
def _starter() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="tocsin-leash")


def spawn(
    argv: list[str],
    *,
    sig: int = signal.SIGKILL,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    new_session: bool = False,
    pass_fds: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start `argv` so that it gets `sig` when this process ends, however it ends. Its pid is the command's own.

    `new_session` keeps a terminal's Ctrl-C from reaching it.
    """
    leashed = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(sig)), *argv]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            leashed,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            start_new_session=new_session,
            pass_fds=pass_fds,
        )

    return _starter().submit(start).result()


def _main() -> None:
    parent, sig, *command = sys.argv[1:]
    die_with_parent(int(parent), int(sig))
    os.execvp(command[0], command)  # noqa: S606 - becoming the command is the point


if __name__ == "__main__":
    _main()
