"""Writes what the reference pages take from the code: `python -m scripts.reference_pages`; a test checks it is up to date."""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from typer.main import get_command

from tocsin.cli.configs import kinds, model_of
from tocsin.cli.root import command_points
from tocsin.config import json_schema
from tocsin.config.schema import Node, model_keys
from tocsin.contract.catalogue import catalogue
from tocsin.contract.quality import Quality
from tocsin.contract.schemas import SCHEMAS, message_schema
from tocsin.contract.units import all_units
from tocsin.errors import TocsinError
from tocsin.sdk import load_driver
from tocsin.sdk.driver import driver_names

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
PACKAGES = ("tocsin", "edge", "cloud", "firmware_bridges")
_BLOCK = re.compile(r"(<!-- from the code: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Every generated file, and every page with generated blocks, as it should be."""
    out: dict[Path, str] = {}
    for name in SCHEMAS:
        out[REFERENCE / "schema" / f"{name}.json"] = _json(message_schema(name))
    for kind in kinds():
        out[REFERENCE / "schema" / f"{kind}-config.json"] = _json(json_schema(model_of(kind)))
        out[REFERENCE / "keys" / f"{kind}.md"] = keys_page(f"{kind}.toml", model_of(kind))
    for name in driver_names():
        title = f'[[drivers]] type = "{name}"'
        out[REFERENCE / "keys" / f"driver-{name}.md"] = keys_page(title, load_driver(name).Config)
    blocks = {"errors": errors_table(), "reasons": reasons_table(), "commands": commands_text(),
              "quantities": quantities_table(), "quality": quality_table(), "units": units_text()}  # fmt: skip
    for page in sorted(REFERENCE.glob("*.md")):
        text = page.read_text("utf-8")
        if _BLOCK.search(text):
            out[page] = _BLOCK.sub(lambda m: m[1] + blocks[m[2]] + "\n" + m[3], text)
    return out


def errors() -> list[type[TocsinError]]:
    """Every error class of every package, by code."""
    for package in PACKAGES:
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not module.name.endswith("__main__") and ".migrations" not in module.name:
                importlib.import_module(module.name)

    def tree(kind: type[TocsinError]) -> Iterator[type[TocsinError]]:
        yield kind
        for inner in kind.__subclasses__():
            yield from tree(inner)

    ours = {k for k in tree(TocsinError) if k.__module__.split(".")[0] in PACKAGES}
    return sorted(ours, key=lambda k: (k.code, k.__name__))


def errors_table() -> str:
    """Code, exit code, whether trying again helps, meaning."""
    lines = ["| code | exit | try again | meaning | class |", "|---|---|---|---|---|"]
    for kind in errors():
        again = "yes" if kind.retryable else ""
        lines.append(
            f"| `{kind.code}` | {kind.exit_code} | {again} | {_first_line(kind)} | `{kind.__name__}` |"
        )
    return "\n".join(lines)


def reasons_table() -> str:
    """The reasons that errors carry."""
    module = importlib.import_module("tocsin.errors")
    lines = []
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if issubclass(kind, enum.StrEnum) and kind.__module__ == module.__name__:
            values = ", ".join(f"`{member.value}`" for member in kind)
            lines.append(f"- **{kind.__name__}**: {_first_line(kind)} {values}")
    return "\n".join(lines)


def commands() -> Iterator[tuple[str, Any]]:
    """(`tocsin edge run`, command) of every command and group."""

    def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, inner in sorted(getattr(command, "commands", {}).items()):
            yield from walk(f"{path} {name}", inner)

    for name, point in command_points().items():
        yield from walk(f"tocsin {name}", get_command(point.load()))


def commands_text() -> str:
    """Help and options of every command."""
    lines: list[str] = []
    for path, command in commands():
        lines += [f"### `{path}`", "", " ".join((command.help or "").split()), ""]
        for param in command.params:
            if "--help" in param.opts:
                continue
            names = ", ".join(f"`{o}`" for o in (*param.opts, *param.secondary_opts))
            shown = (
                names if param.param_type_name == "option" else f"`{(param.name or '').upper()}`"
            )
            lines.append(f"- {shown}: {' '.join((getattr(param, 'help', '') or '').split())}")
        if len(command.params) > 1:
            lines.append("")
    return "\n".join(lines).rstrip()


def keys_page(title: str, model: type[BaseModel]) -> str:
    """One page with every key of one kind of file."""
    lines = [f"# Keys of `{title}`", "", "Written from the code; unknown keys are mistakes.", ""]
    lines += ["| key | may be | default | meaning |", "|---|---|---|---|"]
    seen: set[str] = set()
    for key, node, view, required in model_keys(model):
        allowed = re.sub(r"(?<=of the form )(\S+)", r"`\1`", _cell(view.phrase(node)))
        default = "required" if required else _default(node)
        meaning = node.get("description") or view.branches(node)[0].get("description", "")
        row = f"| `{key}` | {allowed} | {default} | {_cell(str(meaning))} |"
        if row not in seen:
            seen.add(row)
            lines.append(row)
    return "\n".join(lines) + "\n"


def quantities_table() -> str:
    """Every measurement with its quantities."""
    lines: list[str] = []
    for measurement in catalogue().values():
        lines += [f"### `{measurement.name}`: {measurement.en} ({measurement.zh})", ""]
        lines += ["| quantity | unit | type | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{q.name}` | `{q.unit}` | {q.type} | {q.en} ({q.zh}) |"
            for q in measurement.quantities.values()
        ]
        lines.append("")
    return "\n".join(lines).rstrip()


def quality_table() -> str:
    """Every quality code."""
    return "\n".join(
        ["| code | name |", "|---|---|", *(f"| {int(q)} | {q.name} |" for q in Quality)]
    )


def units_text() -> str:
    """Every known unit."""
    return ", ".join(f"`{unit}`" for unit in all_units())


def main() -> None:
    """Write all of them; files of things that are gone are removed."""
    wanted = pages()
    for folder in ("schema", "keys"):
        for old in (REFERENCE / folder).glob("*"):
            if old not in wanted:
                old.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def _default(node: Node) -> str:
    if "default" not in node or node["default"] is None or isinstance(node["default"], dict):
        return ""
    return _cell(f"`{json.dumps(node['default'], ensure_ascii=False)}`")


def _first_line(kind: type) -> str:
    return _cell((inspect.getdoc(kind) or "").split("\n")[0])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
