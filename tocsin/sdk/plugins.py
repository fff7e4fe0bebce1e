"""Loading what packages register in the entry-point groups of Tocsin, and finding what lies beside it."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tocsin.errors import TocsinError

OURS = ("tocsin", "edge", "cloud", "firmware_bridges")

# What importing a module that someone else wrote may raise.
_BROKEN = (
    ImportError,
    SyntaxError,
    NameError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    RuntimeError,
    OSError,
)


class PluginError(TocsinError):
    """A plug-in cannot be found or loaded."""

    code = "plugin.failed"
    exit_code = 4


class PluginNeedsError(PluginError):
    """A plug-in needs a package that is not installed."""

    code = "plugin.needs-package"


def load_point(point: EntryPoint) -> Any:
    """What `point` names.

    Raises:
        PluginNeedsError: a package that it needs is not installed.
        PluginError: it cannot be imported for another reason.
    """
    try:
        return point.load()
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").split(".")[0]
        if missing in (*OURS, point.module.split(".")[0]):
            raise _broken(point, exc) from exc
        raise PluginNeedsError(
            f"{point.name!r} needs {exc.name!r}, which is not installed",
            hint=_install(point, missing),
        ) from exc
    except _BROKEN as exc:
        raise _broken(point, exc) from exc


def folder_of(point: EntryPoint) -> Path:
    """The folder of the module that `point` names: its sample, README and cases lie there.

    Raises:
        PluginError: there is no such module.
    """
    try:
        spec = find_spec(point.module)
    except _BROKEN as exc:
        raise _broken(point, exc) from exc
    if spec is None or spec.origin is None:
        raise PluginError(f"{point.name!r}: there is no module {point.module}")
    return Path(spec.origin).parent


def _install(point: EntryPoint, module: str) -> str:
    """The command that installs what `point` lacks."""
    if point.module.split(".")[0] not in OURS:
        return f"pip install {module}"
    extras = (point.dist.metadata.get_all("Provides-Extra") or []) if point.dist else []
    extra = "cloud" if point.module.startswith("cloud.") else "edge"
    return f"pip install 'tocsin[{point.name if point.name in extras else extra}]'"


def _broken(point: EntryPoint, exc: Exception) -> PluginError:
    where = f" of {point.dist.name}" if point.dist is not None else ""
    return PluginError(
        f"{point.name!r} ({point.value}{where}) cannot be loaded: {type(exc).__name__}: {exc}",
        hint="`tocsin plugins` lists what is installed and what does not load",
    )
