"""`tocsin bundle`: everything a gateway without internet needs, in one archive."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

import tocsin
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.bundle.wheels import build, download, hash_line
from tocsin.cli.configs import load_any
from tocsin.cli.data import data_dir
from tocsin.errors import BundleError, UsageError

app = new_app("Make an archive that installs a gateway without internet.")

_TEMPLATES = Path(__file__).parents[1] / "templates" / "bundle"
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Bundle(msgspec.Struct, frozen=True):
    """The archive that was made."""

    file: Path
    bytes: int
    sha256: str
    arch: str
    python: str
    wheels: list[str]


@app.command()
def bundle(
    arch: Annotated[
        Literal["x86_64", "aarch64"] | None,
        typer.Option(help="The gateway's architecture; default this machine's."),
    ] = None,
    python: Annotated[str, typer.Option(help="The gateway's Python.")] = _HERE,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="A gateway.toml to take along.")
    ] = None,
    wheel: Annotated[
        list[Path] | None,
        typer.Option(help="A wheel to take along: a driver, or Tocsin's own; may be repeated."),
    ] = None,
    lock: Annotated[
        Path | None, typer.Option(help="Locked requirements; default those of this release.")
    ] = None,
    folder: Annotated[Path, typer.Option("--dir", help="Folder for the archive.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write tocsin-gateway-VERSION-ARCH.tar.gz: wheels with their hashes, unit, install.sh, uninstall.sh. Needs pip and its index."""
    machine = arch or platform.machine()
    name = f"tocsin-gateway-{tocsin.__version__}-{machine}-py{python}"
    file = folder / f"{name}.tar.gz"
    if file.exists():
        raise UsageError(f"{file} is there already and stays as it is", hint="--dir FOLDER")
    if config is not None:
        kind, _ = load_any(config)
        if kind != "gateway":
            raise UsageError(f"{config} is no gateway.toml but describes a {kind}")
    with tempfile.TemporaryDirectory(prefix="tocsin-bundle-") as made:
        root = Path(made) / name
        (root / "wheels").mkdir(parents=True)
        output.note(f"fetching the wheels for {machine}, Python {python}")
        own = [*(wheel or ())]
        locked = lock or data_dir("requirements") / "edge.lock"
        download(locked, root / "wheels", arch=machine, python=python)
        lay_out(root, locked, own, config, {"ARCH": machine, "PYTHON": python})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tarfile.open(file, "x:gz") as archive:
                archive.add(root, arcname=name)
        except OSError as exc:
            raise BundleError(f"{file} cannot be written: {exc.strerror}", hint="--dir") from exc
        names = sorted(path.name for path in (root / "wheels").iterdir())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    found = Bundle(file, file.stat().st_size, digest, machine, python, names)
    human = f"{file}  {found.bytes / 1e6:.1f} MB  {len(names)} wheels\nsha256 {digest}"
    output.emit(found, as_json=as_json, human=human)
    if not as_json:
        output.note(f"on the gateway: tar xzf {file.name} && sudo {name}/install.sh")


def lay_out(
    root: Path, lock: Path, own: list[Path], config: Path | None, words: dict[str, str]
) -> None:
    """Complete `root`, which has the locked wheels: Tocsin's own, requirements, scripts, unit, configuration, checksums.

    Raises:
        BundleError: Tocsin's wheel was not given and cannot be built.
    """
    wheels = root / "wheels"
    for path in own:
        if not path.is_file() or path.suffix != ".whl":
            raise UsageError(f"{path} is no wheel")
        shutil.copy(path, wheels)
    if not any(path.name.startswith("tocsin-") for path in own):
        checkout = Path(tocsin.__file__).parents[1]
        if not (checkout / "pyproject.toml").is_file():
            raise BundleError(
                "this installation is no checkout: its own wheel cannot be built from it",
                hint="--wheel tocsin-VERSION-py3-none-any.whl, the file it was installed from",
            )
        own = [*own, build(checkout, wheels)]
    lines = [hash_line(wheels / path.name) for path in own]
    (root / "requirements.txt").write_text(
        lock.read_text("utf-8") + "".join(f"{line}\n" for line in lines), "utf-8"
    )
    shutil.copy(data_dir("configs") / "systemd" / "tocsin-edge.service", root)
    if config is not None:
        shutil.copy(config, root / "gateway.toml")
    for script in ("install.sh", "uninstall.sh"):
        text = (_TEMPLATES / script).read_text("utf-8")
        for word, meant in {**words, "VERSION": tocsin.__version__}.items():
            text = text.replace(f"@{word}@", meant)
        (root / script).write_text(text, "utf-8")
        (root / script).chmod(0o755)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(root)}" for p in files]
    (root / "SHA256SUMS").write_text("\n".join(sums) + "\n", "utf-8")
