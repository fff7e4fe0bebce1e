"""`load`: a TOML file into a validated model, or a `ConfigError` with everything that is wrong with it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from tocsin.config.explain import Explainer, Finding, show
from tocsin.config.lines import KeyPath, dotted, key_lines
from tocsin.config.mistakes import Mistake, MistakesError
from tocsin.config.prune import element_of, without
from tocsin.config.references import References
from tocsin.config.schema import SCHEMA_VERSION, declares_version
from tocsin.errors import ConfigError, ConfigProblem

M = TypeVar("M", bound=BaseModel)
Resolver = Callable[[dict[str, Any]], type[BaseModel] | None]


@dataclass(frozen=True, slots=True)
class Draft:
    """A file of which some parts may be wrong: `raw` as it stands there, `valid` its right elements by array and index."""

    raw: Mapping[str, Any]
    valid: Mapping[str, Mapping[int, BaseModel]]


Cross = Callable[[Draft], Iterable[Mistake]]
Document = tuple[dict[str, Any], dict[KeyPath, int]]

_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A section or element that is wrong, with its mistakes."""

    name: str
    line: int
    problems: tuple[ConfigProblem, ...]


@dataclass(frozen=True, slots=True)
class Loaded(Generic[M]):
    """A valid configuration and where its values stand."""

    value: M
    path: Path
    lines: Mapping[KeyPath, int] = field(repr=False)
    warnings: tuple[str, ...] = ()  # right, but probably not what was meant
    left_out: tuple[LeftOut, ...] = ()  # wrong, and the rest goes without it

    @property
    def dir(self) -> Path:
        """The folder of the file: relative paths in it start here."""
        return self.path.parent

    def line(self, *key_path: str | int) -> int:
        """Line of a key, else of what it is in."""
        return line_of(self.lines, key_path)

    def origin(self, *key_path: str | int) -> str:
        """`file:line` of a key."""
        return f"{self.path}:{self.line(*key_path)}"

    def problem(self, key_path: KeyPath, allowed: str, *, value: str = "") -> ConfigProblem:
        """A mistake that shows only later, for example when a device profile is read."""
        return ConfigProblem(
            file=str(self.path),
            line=self.line(*key_path),
            key=dotted(key_path),
            value=value,
            allowed=allowed,
            path=key_path,
        )


def load(
    path: Path,
    model: type[M],
    *,
    resolve: Mapping[str, Resolver] | None = None,
    cross: Cross | None = None,
    document: Document | None = None,
    folder: Path | None = None,
    files: bool = False,
) -> Loaded[M]:
    """Read and validate `path`, or what `document` holds of it. `folder`, where relative paths start, is that of `path`.

    With `files` the models look at files that it names, too (`looks_at_files`).

    `resolve[name](table)` gives the model of one element of the top-level array `name`; it may raise `MistakesError`, and
    None means that its `type` is not known. `cross(draft)` looks at the whole file, whatever else is wrong with it, and
    must bear any shape.

    Raises:
        ConfigError: with all mistakes, in the order of the file.
    """
    raw, lines = read(path) if document is None else document
    raw = dict(raw)
    folder = path.parent if folder is None else folder
    references = References(folder)
    findings = list(_version(raw))
    if declares_version(model):
        raw["schema"] = SCHEMA_VERSION  # judged above, with better words
    else:
        raw.pop("schema", None)
    raw = references.replace(raw)
    findings += [
        Finding(m.path, show(references.written.get(m.path, "")), m.allowed)
        for m in references.mistakes
    ]
    unresolved = {m.path for m in references.mistakes}
    explainer = Explainer(model, references.written)
    context = {"dir": folder, "files": files}
    data = dict(raw)
    valid: dict[str, dict[int, BaseModel]] = {}
    for name, resolver in (resolve or {}).items():
        if isinstance(raw.get(name), list):
            valid[name], found = _elements(raw[name], name, resolver, references, context)
            data[name] = list(valid[name].values())
            findings += found
    if cross is not None:
        findings += [explainer.said(m, raw, ()) for m in cross(Draft(raw, valid))]
    value: M | None = None
    try:
        value = model.model_validate(data, context=context)
    except ValidationError as exc:
        # with elements left out, what a validator says of the whole may be wrong
        incomplete = any(len(valid[name]) < len(raw[name]) for name in valid)
        found = list(explainer.explain(exc, data, ()))
        findings += [f for f in found if f.path or not incomplete]
    findings = _unique(findings, unresolved)
    if findings or value is None:
        problems = [_problem(path, lines, finding) for finding in findings]
        raise ConfigError(sorted(problems, key=lambda p: (p.line, p.key)))
    return Loaded(value, path, lines)


def load_right_parts(
    path: Path, attempt: Callable[[Document], Loaded[M]], essential: Collection[str]
) -> Loaded[M]:
    """What `attempt` makes of the file, without the elements it finds mistakes in; those are in `left_out`.

    Raises:
        ConfigError: with every mistake, when one is in an `essential` section or in the file as such.
    """
    document = read(path)
    left_out: list[LeftOut] = []
    while True:
        try:
            loaded = attempt(document)
        except ConfigError as exc:
            raw, lines = document
            wrong: dict[KeyPath, list[ConfigProblem]] = {}
            for problem in exc.problems:
                wrong.setdefault(element_of(raw, problem.path), []).append(problem)
            if any(not element or element[0] in essential for element in wrong):
                raise
            left_out += [
                LeftOut(dotted(element), line_of(lines, element), tuple(problems))
                for element, problems in wrong.items()
            ]
            document = without(raw, lines, wrong)
        else:
            told = sorted(left_out, key=lambda part: part.line)
            return replace(loaded, left_out=tuple(told))


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Line of `path`, or of the nearest table around it; 1 for the file itself."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return 1


def read(path: Path) -> Document:
    """The tables of a TOML file and the line of each key.

    Raises:
        ConfigError: unreadable or not TOML.
    """
    try:
        text = path.read_bytes().decode()
        return tomllib.loads(text), key_lines(text.replace("\r\n", "\n"))
    except OSError as exc:
        line, allowed = 0, f"cannot be read: {exc.strerror or type(exc).__name__}"
    except UnicodeDecodeError as exc:
        line, allowed = 1 + exc.object.count(b"\n", 0, exc.start), "must be UTF-8 text"
    except tomllib.TOMLDecodeError as exc:
        where = _WHERE.search(str(exc))
        line = int(where[1]) if where and where[1] else 1 + path.read_text("utf-8").count("\n")
        column = f", column {where[2]}" if where and where[2] else ""
        allowed = f"not TOML{column}: {_WHERE.sub('', str(exc))}"
    problem = ConfigProblem(file=str(path), line=line, key="", value="", allowed=allowed)
    raise ConfigError([problem])


def _version(raw: Mapping[str, Any]) -> Iterable[Finding]:
    if "schema" not in raw:
        yield Finding(
            ("schema",), "", f"required: {SCHEMA_VERSION} (version of this file's layout)"
        )
        return
    found = raw["schema"]
    if type(found) is int and found > SCHEMA_VERSION:
        yield Finding(
            ("schema",),
            show(found),
            f"this Tocsin reads version {SCHEMA_VERSION}; the file needs a newer one",
        )
    elif type(found) is not int or found != SCHEMA_VERSION:
        yield Finding(("schema",), show(found), f"must be {SCHEMA_VERSION}")


def _elements(
    items: list[Any],
    name: str,
    resolver: Resolver,
    references: References,
    context: dict[str, Any],
) -> tuple[dict[int, BaseModel], list[Finding]]:
    """The valid elements of one array by index, each by its own model, and what is wrong with the others."""
    valid: dict[int, BaseModel] = {}
    findings: list[Finding] = []
    for i, item in enumerate(items):
        if not isinstance(item, dict):
            findings.append(Finding((name, i), show(item), "must be a table"))
            continue
        model: type[BaseModel] | None = None
        try:
            model = resolver(item)
            if model is None:
                raise MistakesError([Mistake(("type",), "not a known type")])
            valid[i] = model.model_validate(item, context=context)
        except ValidationError as exc:
            explainer = Explainer(model, references.written)
            findings += explainer.explain(exc, item, (name, i))
        except MistakesError as exc:
            explainer = Explainer(None, references.written)
            findings += [explainer.said(m, item, (name, i)) for m in exc.found]
    return valid, findings


def _unique(findings: Iterable[Finding], unresolved: set[KeyPath]) -> list[Finding]:
    """One finding per mistake: a failed reference is not judged again, a misspelled key is not missing as well."""
    kept: dict[tuple[KeyPath, str], Finding] = {}
    for finding in findings:
        again = finding.path in unresolved and any(path == finding.path for path, _ in kept)
        if not again:
            kept.setdefault((finding.path, finding.allowed), finding)
    meant = {(*f.path[:-1], f.nearest) for f in kept.values() if f.nearest and f.unknown_key}
    return [f for f in kept.values() if not (f.path in meant and f.absent)]


def _problem(path: Path, lines: Mapping[KeyPath, int], finding: Finding) -> ConfigProblem:
    return ConfigProblem(
        file=str(path),
        line=line_of(lines, finding.path),
        key=dotted(finding.path),
        value=finding.value,
        allowed=finding.allowed,
        nearest=finding.nearest,
        path=finding.path,
    )
