"""Asking a running gateway through its control socket: one JSON object a line."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tocsin.contract.orders import pack
from tocsin.lab.children import Child, Children, LabError

ANSWER_S = 60.0


def asked(path: Path, op: str, args: Mapping[str, str] | None = None) -> Any:
    """One operation's result.

    Raises:
        LabError: nobody answers there, or the answer is an error.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER_S)
            sock.connect(str(path))
            sock.sendall(msgspec.json.encode({"op": op, "args": dict(args or {})}) + b"\n")
            with sock.makefile("rb") as lines:
                answer = msgspec.json.decode(lines.readline())
    except (OSError, msgspec.DecodeError) as exc:
        raise LabError(f"the gateway does not answer {op}: {exc}") from exc
    if answer.get("error"):
        raise LabError(f"the gateway refuses {op}: {answer['error'].get('message')}")
    return answer.get("result")


def ordered(path: Path, device: str, name: str, args: Mapping[str, str | int] | None = None) -> Any:
    """The result of one command to a device. Raises LabError."""
    packed = {k: str(v) for k, v in pack(device, name, dict(args or {})).items()}
    return asked(path, "command", packed | {"actor": "bench", "within_s": "30"})


def started(
    children: Children, folder: Path, env: Mapping[str, str], is_ready: Callable[[Path], bool]
) -> tuple[Child, Path]:
    """A gateway of `gateway.toml` in `folder`, once `is_ready(control socket)`; and that socket. Raises LabError."""
    config, path = str(folder / "gateway.toml"), folder / "edge" / "control.sock"
    edge = children.start("edge", "tocsin.cli", "edge", "run", "-c", config, "--json", env=env)
    deadline_s = time.monotonic() + ANSWER_S
    while True:
        children.check()
        try:
            if path.exists() and is_ready(path):
                return edge, path
        except LabError:
            pass
        if time.monotonic() > deadline_s:
            raise LabError(f"the gateway was not ready in {ANSWER_S:g} s", hint=edge.tail())
        time.sleep(0.1)
