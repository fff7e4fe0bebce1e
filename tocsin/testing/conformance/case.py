"""A case of a driver: its configuration, the other side of its link, and what must come of it."""

from __future__ import annotations

import json
import math
import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tocsin.sdk import Driver, DriverConfig, DriverContext, Sample
from tocsin.testing.processes import run_process
from tocsin.testing.waiting import free_port

_READY_S = 30.0
_PLAY = Path(__file__).with_name("play.py")


class Counterpart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The other side: a file's bytes for whoever connects to `{address}` (`serve`), the same sent to `{address}` once the
    driver listens there (`send`), again every `again_s` seconds if that is given, or with `close` hanging up afterwards; or
    a process, `python -m` and its arguments (`run`), that has written `ready`."""

    serve: str | None = None
    send: str | None = None
    again_s: float = 0.0
    close: bool = False
    run: tuple[str, ...] = ()
    ready: str = '"ready"'


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`refused` is in the message of the configuration error, `error` in that of the driver's; `counts` are counters.
    Samples are expected by the file `expected.json` beside the case."""

    refused: str = ""
    error: str = ""
    counts: dict[str, int] = {}


class CaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`case.toml`."""

    drivers: list[dict[str, Any]]
    about: str = ""
    counterpart: Counterpart | None = None
    expect: Expected = Expected()


class Case:
    """One case with its place: `{address}`, `{host}`, `{port}` and `{case}` in its texts are replaced."""

    def __init__(self, folder: Path, kind: type[Driver]) -> None:
        self.folder, self._kind = folder, kind
        raw = tomllib.loads((folder / "case.toml").read_text("utf-8"))
        self.file = msgspec.convert(raw, CaseFile)
        self._port = free_port()

    @property
    def samples(self) -> list[dict[str, Any]] | None:
        """What `expected.json` says, if it is there."""
        file = self.folder / "expected.json"
        return json.loads(file.read_text("utf-8")) if file.exists() else None

    def config(self) -> DriverConfig:
        """The driver's configuration.

        Raises:
            pydantic.ValidationError: the driver refuses it.
        """
        table = self._filled(self.file.drivers[0])
        return self._kind.Config.model_validate(table, context={"dir": self.folder})

    def driver(self, context: DriverContext) -> Driver:
        """The driver, built."""
        return self._kind(self.config(), context)

    @contextmanager
    def counterpart(self) -> Iterator[None]:
        """The other side of the link, there: a process of its own."""
        other = self.file.counterpart
        if other is None:
            yield
            return
        env = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        with run_process(self._command(other), env=env, cwd=self.folder) as process:
            if other.ready:
                process.wait_line(other.ready, _READY_S)
            yield

    def _command(self, other: Counterpart) -> list[str]:
        if other.run:
            return [sys.executable, "-P", "-m", *map(self._filled, other.run)]
        what, file = ("serve", other.serve) if other.serve else ("send", other.send)
        after = "close" if other.close else str(other.again_s)
        where = [str(self.folder / str(file)), "127.0.0.1", str(self._port), after]
        return [sys.executable, "-P", str(_PLAY), what, *where]

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if value == "{port}":
            return self._port
        if not isinstance(value, str):
            return value
        address = f"127.0.0.1:{self._port}"
        value = value.replace("{address}", address).replace("{host}", "127.0.0.1")
        return value.replace("{port}", str(self._port)).replace("{case}", str(self.folder))


def told(sample: Sample) -> dict[str, Any]:
    """A sample as `expected.json` writes it: time (the source's own, if it told one), values, and quality where not good."""
    names = [channel.quantity for channel in sample.spec.channels]
    pairs = dict(zip(names, sample.values, strict=True))
    quality = dict(zip(names, sample.quality or (0,) * len(names), strict=True))
    found: dict[str, Any] = {"device": sample.spec.id}
    if sample.source_ns is not None:
        when = datetime.fromtimestamp(sample.source_ns / 1e9, UTC)
        found["time"] = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    found["values"] = {name: value for name, value in pairs.items() if value is not None}
    if any(quality.values()):
        found["quality"] = {name: int(code) for name, code in quality.items() if code}
    return found


def same(a: object, b: object) -> bool:
    """Equal; floats to 1e-9 of their size."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) or isinstance(b, float):
        numbers = isinstance(a, int | float) and isinstance(b, int | float)
        return numbers and math.isclose(float(str(a)), float(str(b)), rel_tol=1e-9, abs_tol=1e-12)
    return a == b
