"""`tocsin doctor --bundle`: what a bug report needs, in one archive, without a secret in it."""

from __future__ import annotations

import io
import platform
import re
import shutil
import subprocess
import tarfile
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import msgspec

from edge.doctor.examination import agent_status
from edge.doctor.findings import Report
from tocsin.cli.output import to_json
from tocsin.config.types import HIDDEN
from tocsin.errors import ConfigError, ControlError, UsageError

_LOG_LINES = 2000
_SECRETS = re.compile(
    r"""(?i)((?:password|passwd|secret|token|auth_code|key)["']?\s*[=:]\s*)"""
    r"""("[^"]*"|'[^']*'|(?!null\b|none\b|true\b|false\b)[^\s,}\]"']+)"""
)
_LOGIN = re.compile(r"(\w+://)[^/\s@]+@")
_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL
)
_COMMANDS = {
    "journal.txt": ["journalctl", "-u", "tocsin-edge", "-n", str(_LOG_LINES), "--no-pager", "-o", "short-iso"],
    "disks.txt": ["df", "-h"],
    "addresses.txt": ["ip", "-brief", "address"],
    "ports.txt": ["ls", "-l", "/dev/serial/by-id"],
    "kernel.txt": ["dmesg", "--time-format", "iso"],
}  # fmt: skip


def redact(text: str, known: frozenset[str] = frozenset()) -> str:
    """`text` with secrets as `***`: those of the configuration, and whatever looks like one."""
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _PEM.sub(HIDDEN, text)
    text = _LOGIN.sub(rf"\1{HIDDEN}@", text)
    return _SECRETS.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    quote = found[2][0] if found[2][0] in "\"'" else ""
    return f"{found[1]}{quote}{HIDDEN}{quote}"


def write(target: Path, config: Path, report: Report) -> list[str]:
    """Make the archive; the names in it. It is never overwritten.

    Raises:
        UsageError: the file is there already, or cannot be written.
    """
    found, known = _parts(config)
    parts = {"doctor.json": to_json(report) + "\n", **found, **_system()}
    try:
        with target.open("xb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in parts.items():
                data = redact(text, known).encode("utf-8", "replace")
                entry = tarfile.TarInfo(f"tocsin-{platform.node() or 'gateway'}/{name}")
                entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
                archive.addfile(entry, io.BytesIO(data))
    except FileExistsError as exc:
        raise UsageError(f"{target} is there already", hint="name another file") from exc
    except OSError as exc:
        raise UsageError(f"{target}: {exc.strerror}", hint="name a file you may write") from exc
    return list(parts)


def _parts(path: Path) -> tuple[dict[str, str], frozenset[str]]:
    """What the configuration and a running agent say, and the secrets that must not be in it."""
    from edge.config import load_gateway

    try:
        loaded = load_gateway(path, files=False)
    except ConfigError as exc:
        return {"config-mistakes.txt": exc.message + "\n"}, frozenset()
    config = loaded.value
    parts = {"config.json": _pretty(config)}
    status = agent_status(config)
    if status is not None:
        parts["status.json"] = _pretty(status)
        parts |= _values(config.socket)
    return parts, frozenset(_revealed(config))


def _values(socket: Path) -> dict[str, str]:
    from edge.control.client import ask

    try:
        return {
            "values.json": _pretty(ask(socket, "values")),
            "alarms.json": _pretty(ask(socket, "alarms")),
        }
    except ControlError:
        return {}


def _revealed(value: Any) -> set[str]:
    """Every secret's text in a configuration; those of a few letters would black out the whole archive."""
    from pydantic import BaseModel

    from tocsin.config import Secret

    if isinstance(value, Secret):
        return {value.reveal()} if len(value.reveal()) >= 4 else set()
    if isinstance(value, BaseModel):
        return {s for name in type(value).model_fields for s in _revealed(getattr(value, name))}
    if isinstance(value, (tuple, list)):
        return {s for item in value for s in _revealed(item)}
    if isinstance(value, dict):
        return {s for item in value.values() for s in _revealed(item)}
    return set()


def _system() -> dict[str, str]:
    parts = {
        "machine.txt": f"{platform.platform()}\nPython {platform.python_version()}\n{_memory()}",
        "packages.txt": "".join(
            sorted(f"{d.metadata['Name']}=={d.version}\n" for d in distributions())
        ),
    }
    for name, argv in _COMMANDS.items():
        if shutil.which(argv[0]) is None:
            continue
        try:
            done = subprocess.run(argv, capture_output=True, timeout=20, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as exc:
            parts[name] = f"{exc}\n"
        else:
            lines = (done.stdout or done.stderr).decode("utf-8", "replace").splitlines()
            parts[name] = "\n".join(lines[-_LOG_LINES:]) + "\n"
    return parts


def _memory() -> str:
    try:
        return "".join(Path("/proc/meminfo").read_text().splitlines(keepends=True)[:3])
    except OSError:
        return ""


def _pretty(value: object) -> str:
    return msgspec.json.format(to_json(value)) + "\n"
