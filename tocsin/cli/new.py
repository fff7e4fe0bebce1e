"""`tocsin new driver NAME`: a package of your own with a driver that works, to be changed step by step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import typer

import tocsin
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.errors import FolderError, UsageError
from tocsin.sdk.driver import driver_names

app = new_app("Write the beginning of a plug-in of your own.")

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Made(msgspec.Struct, frozen=True):
    """The files it wrote, and what to do with them."""

    folder: Path
    files: list[Path]
    next: list[str]


@app.callback()
def new() -> None:
    """Write the beginning of a plug-in of your own."""


@app.command()
def driver(
    name: Annotated[str, typer.Argument(help="Name of the driver: its `type` in gateway.toml.")],
    folder: Annotated[Path, typer.Option("--dir", help="Where its folder is made.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a package `tocsin-NAME`: driver, configuration, sample, README, virtual device, cases and a test. It works as it is."""
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise UsageError(f"{name!r}: 1-40 of a-z 0-9 and single dashes, first a letter")
    if name in driver_names():
        raise UsageError(f"a driver named {name!r} is installed already", hint="tocsin plugins")
    target = folder / f"tocsin-{name}"
    if target.exists():
        raise UsageError(f"{target} is there already and stays as it is", hint="--dir FOLDER")
    made = Made(
        target,
        _write(_TEMPLATES / "driver", target, name),
        [
            f"pip install -e '{target}[dev]'",
            f"tocsin conformance {name}",
            f"pytest {target}",
            f"tocsin sample {name} >>gateway.toml",
        ],
    )
    output.emit(made, as_json=as_json, human="\n".join(f"wrote {file}" for file in made.files))
    if not as_json:
        output.note("next:\n" + "\n".join(f"  {line}" for line in made.next))


def _write(templates: Path, target: Path, name: str) -> list[Path]:
    module = "tocsin_" + name.replace("-", "_")
    words = {
        "@NAME@": name,
        "@MODULE@": module,
        "@CLASS@": "".join(part.capitalize() for part in name.split("-")),
        "@VERSION@": tocsin.__version__,
    }
    files = []
    try:
        for template in sorted(templates.rglob("*.txt")):
            text = template.read_text("utf-8")
            for word, meant in words.items():
                text = text.replace(word, meant)
            place = template.relative_to(templates).with_suffix("")
            inner = Path(module, *place.parts[1:]) if place.parts[0] == "package" else place
            file = target / inner
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            files.append(file)
    except OSError as exc:
        raise FolderError(
            f"{exc.filename} cannot be written: {exc.strerror}", hint="--dir FOLDER"
        ) from exc
    return files
