"""The wheels of a bundle: what the lock names, for another architecture too, and Tocsin's own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tocsin.errors import BundleError

_TIMEOUT_S = 900.0
_GLIBC = range(17, 35)  # manylinux_2_17 to 2_34: Debian 12 has glibc 2.36


def download(lock: Path, into: Path, *, arch: str, python: str) -> None:
    """Fetch the wheel of every package that `lock` names, as its hashes say.

    Raises:
        BundleError: pip is not there, or did not get them all.
    """
    platforms = [f"manylinux_2_{minor}_{arch}" for minor in _GLIBC] + [f"manylinux2014_{arch}"]
    argv = [*_pip(), "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    argv += ["--require-hashes", "--only-binary", ":all:", "--python-version", python]
    argv += ["--implementation", "cp", "--dest", str(into), "--requirement", str(lock)]
    for platform in platforms:
        argv += ["--platform", platform]
    _run(argv, "pip did not get the packages")


def build(checkout: Path, into: Path) -> Path:
    """Tocsin's own wheel, built from a checkout.

    Raises:
        BundleError: hatchling is not there, or fails.
    """
    argv = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(into),
    ]
    _run(argv, "the wheel of tocsin cannot be built", cwd=checkout)
    return next(iter(into.glob("tocsin-*.whl")))


def hash_line(wheel: Path) -> str:
    """The line of a requirements file that takes this wheel and no other."""
    name, version = wheel.name.split("-")[:2]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name.replace('_', '-')}=={version} --hash=sha256:{digest}"


def _pip() -> Sequence[str]:
    """pip, of this environment or of the system's Python."""
    for python in (sys.executable, shutil.which("python3"), "/usr/bin/python3"):
        if python is None:
            continue
        argv = [python, "-m", "pip"]
        done = subprocess.run(  # noqa: S603 - our own arguments
            [*argv, "--version"], capture_output=True, timeout=60, check=False
        )
        if done.returncode == 0:
            return argv
    raise BundleError("pip was not found", hint="apt-get install python3-pip")


def _run(argv: Sequence[str], failed: str, cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            argv, cwd=cwd, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise BundleError(f"{failed}: no end after {_TIMEOUT_S:g} s") from exc
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        raise BundleError(
            f"{failed}: {' '.join(lines[-3:])}", hint="is the package index reachable from here?"
        )
