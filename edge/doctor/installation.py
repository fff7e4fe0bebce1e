"""What is installed: packages that fight, models that were changed, the unit that starts the agent."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tocsin
from edge.doctor.findings import Finding, fail, ok, warn
from tocsin.sdk import DriverConfig

UNIT = "tocsin-edge.service"
_AGAIN = "install tocsin again, or the model from its source"
_OWN = "sha256sum FILE.onnx; its model.toml must name file and hash"
_RIVALS = ("opencv-python", "opencv-python-headless")


def look(models: Path) -> Iterator[Finding]:
    """Packages, unit and models."""
    yield ok("tocsin", f"version {tocsin.__version__}")
    if all(map(_installed, _RIVALS)):
        text = (
            "opencv-python and opencv-python-headless are both installed and overwrite each other"
        )
        yield fail("packages", text, "pip uninstall opencv-python-headless opencv-python, then one")
    yield from _unit()
    for file in sorted(models.glob("*/model.toml")):
        yield _model(file, _AGAIN)


def models_of(drivers: Iterable[DriverConfig]) -> Iterator[Finding]:
    """Models of one's own, which cameras name by their folder."""
    cameras = [c for d in drivers if d.type == "camera" for c in getattr(d, "devices", ())]
    for place in sorted({Path(c.model) for c in cameras if "/" in c.model and not c.radiometric}):
        yield _model(place if place.is_file() else place / "model.toml", _OWN)


def _unit() -> Iterator[Finding]:
    if not Path("/run/systemd/system").is_dir() or shutil.which("systemctl") is None:
        return
    told = subprocess.run(  # noqa: S603
        ["systemctl", "is-enabled", UNIT],  # noqa: S607
        capture_output=True, text=True, timeout=10, check=False,
    ).stdout.strip()  # fmt: skip
    if told == "enabled":
        yield ok("service", f"{UNIT} starts with the machine")
    else:
        text = f"{UNIT} is {told or 'not there'}: after a power cut nothing starts the agent"
        yield warn("service", text, f"systemctl enable --now {UNIT}")


def _model(file: Path, mend: str) -> Finding:
    """Whether the model is the one its card speaks of."""
    name = f"model {file.parent.name}"
    names = []
    try:
        told = tomllib.loads(file.read_text("utf-8"))
        small = told.get("int8")
        for table in [told, small] if isinstance(small, dict) else [told]:
            onnx = file.parent / str(table.get("file", f"{file.parent.name}.onnx"))
            with onnx.open("rb") as data:
                found = hashlib.file_digest(data, "sha256").hexdigest()
            if found != table.get("sha256"):
                return fail(name, f"{onnx.name} is not the file that {file.name} names", mend)
            names.append(onnx.name)
    except (OSError, tomllib.TOMLDecodeError) as exc:
        return fail(name, f"cannot be read: {exc}", mend)
    verb = "is the file" if len(names) == 1 else "are the files"
    return ok(name, f"{' and '.join(names)} {verb} that {file.name} names")


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
