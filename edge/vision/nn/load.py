"""From a name or folder to a model that runs: settings, hash, graph, warm-up."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge.vision.nn.settings import FILE, ModelSettings, load_model_file
from tocsin.cli.data import data_dir
from tocsin.errors import MissingExtraError, ModelError, ModelReason

if TYPE_CHECKING:
    from edge.vision.nn.detector import Detector

Variant = Literal["auto", "fp32", "int8"]
_AGAIN = "install the model again"
_FAST_INT8 = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})


def load_detector(model: str | Path, *, variant: Variant = "auto") -> Detector:
    """A model by its name under `models/`, its folder, or its model.toml; run once, so that the first frame is not slow.

    `auto` takes the 8-bit variant, where there is one, on processors that are faster with it.

    Raises:
        ConfigError: model.toml is wrong.
        ModelError: no such model, another file than it names, or a graph that is not as it says.
        MissingExtraError: the extra `vision` is not installed.
    """
    path = find(model)
    settings = load_model_file(path).value
    kind, file, sha256 = _wanted(path, settings, variant)
    return _built(settings, _checked(path, file, sha256), str(path.parent / file), kind)


def verify(model: str | Path) -> None:
    """Look whether what `load_detector` would load here is there, and the file that model.toml names; no graph is built.

    Raises:
        ConfigError: model.toml is wrong.
        ModelError: no such model, or another file than it names.
    """
    path = find(model)
    _, file, sha256 = _wanted(path, load_model_file(path).value, "auto")
    _checked(path, file, sha256)


def find(model: str | Path) -> Path:
    """The model.toml of a name, folder or file.

    Raises:
        ModelError: there is none.
    """
    given = Path(model)
    places = [given, given / FILE]
    if given.name == str(model):
        places.insert(0, data_dir("models") / given / FILE)
    for place in places:
        if place.is_file():
            return place
    if given.is_dir():
        raise ModelError(
            ModelReason.NOT_FOUND, f"the folder {given} holds no {FILE}",
            hint=f"{FILE} says what the network is fed and gives: docs/reference/model.md",
        )  # fmt: skip
    known = sorted(p.parent.name for p in data_dir("models").glob(f"*/{FILE}"))
    hint = f"models here: {', '.join(known)}; or the path of a folder with a {FILE}" if known else (
        f"give the path of a folder with a {FILE}"
    )  # fmt: skip
    raise ModelError(ModelReason.NOT_FOUND, f"there is no model {str(model)!r}", hint=hint)


def fast_int8() -> bool:
    """Whether this processor has instructions for 8-bit dot products."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.machine() == "arm64"
    return bool(_FAST_INT8 & set(text.split()))


def _wanted(path: Path, settings: ModelSettings, variant: Variant) -> tuple[str, str, str]:
    """(fp32 or int8, file, SHA-256)."""
    small = settings.int8
    if variant == "int8" and small is None:
        raise ModelError(
            ModelReason.NOT_FOUND, f"{path} names no 8-bit variant", hint="--variant fp32"
        )
    if small is not None and (variant == "int8" or (variant == "auto" and fast_int8())):
        return "int8", small.file, small.sha256
    return "fp32", settings.file, settings.sha256


def _checked(toml: Path, file: str, wanted: str) -> bytes:
    """The bytes that were hashed are the ones that run."""
    path = toml.parent / file
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ModelError(
            ModelReason.NOT_FOUND, f"{path}, which {toml} names: {exc.strerror or exc}", hint=_AGAIN
        ) from exc
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise ModelError(
            ModelReason.WRONG_HASH,
            f"{path} is not the file that {toml} names: its SHA-256 is {found}, not {wanted}",
            hint=f"{_AGAIN}; for a model of your own, write the new hash into model.toml",
        )
    return data


def _built(settings: ModelSettings, data: bytes, shown: str, variant: str) -> Detector:
    try:
        from edge.vision.nn.graph import build
    except ModuleNotFoundError as exc:
        raise MissingExtraError("vision", exc.name or "onnxruntime") from exc
    return build(settings, data, shown, variant)
