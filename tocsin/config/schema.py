"""JSON Schema (2020-12) of a configuration model, and what a piece of it allows in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

SCHEMA_VERSION = 1

Node = dict[str, Any]


def json_schema(model: type[BaseModel]) -> Node:
    """The JSON Schema of files that `load` reads into `model`."""
    schema = model.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    if not declares_version(model):
        version = {"const": SCHEMA_VERSION, "description": "Version of this file's layout."}
        schema["properties"] = {"schema": version, **schema.get("properties", {})}
        schema["required"] = ["schema", *schema.get("required", [])]
    return schema


def declares_version(model: type[BaseModel]) -> bool:
    """Whether the model has a field for the key `schema` (its alias, for pydantic keeps the plain name)."""
    return any(info.alias == "schema" for info in model.model_fields.values())


class SchemaView:
    """Walks a JSON Schema along a key path. Without a model it knows nothing and allows anything."""

    def __init__(self, model: type[BaseModel] | None) -> None:
        self.root: Node = {} if model is None else model.model_json_schema(mode="validation")

    def branches(self, node: Node) -> list[Node]:
        """`node` with references followed and alternatives spread; `null` left out (TOML has none)."""
        outer = {k: v for k, v in node.items() if k in ("description", "default")}
        if "$ref" in node:
            target = self.root["$defs"][node["$ref"].rsplit("/", 1)[1]]
            return [{**branch, **outer} for branch in self.branches(target)]
        alternatives = node.get("anyOf") or node.get("oneOf")
        if alternatives:
            spread = [branch for inner in alternatives for branch in self.branches(inner)]
            return [{**branch, **outer} for branch in spread]
        return [] if node.get("type") == "null" else [node]

    def child(self, node: Node, part: str | int) -> Node | None:
        """The schema of one key or element of `node`."""
        for branch in self.branches(node):
            if isinstance(part, str):
                if part in branch.get("properties", {}):
                    return dict(branch["properties"][part])
                if isinstance(branch.get("additionalProperties"), dict):
                    return dict(branch["additionalProperties"])
            elif part < len(branch.get("prefixItems", ())):
                return dict(branch["prefixItems"][part])
            elif isinstance(branch.get("items"), dict):
                return dict(branch["items"])
        return None

    def tagged(self, node: Node, tag: str) -> Node | None:
        """The alternative of a discriminated union that `tag` names."""
        ref = node.get("discriminator", {}).get("mapping", {}).get(tag)
        return {"$ref": ref} if ref else None

    def keys(self, node: Node) -> list[str]:
        """The keys that a table may have."""
        return [key for branch in self.branches(node) for key in branch.get("properties", {})]

    def choices(self, node: Node) -> list[str]:
        """The texts that may stand here, where they are listed."""
        found: list[str] = []
        for branch in self.branches(node):
            values = [branch["const"]] if "const" in branch else branch.get("enum", [])
            found += [value for value in values if isinstance(value, str)]
        return found

    def is_secret(self, node: Node) -> bool:
        """Whether values here must not be shown."""
        return any(branch.get("format") == "password" for branch in self.branches(node))

    def phrase(self, node: Node) -> str:
        """What may stand here, for people."""
        said: list[str] = []
        for branch in self.branches(node):
            text = self._one(branch)
            if text not in said:
                said.append(text)
        return " or ".join(said) or "a value"

    def described(self, node: Node) -> str:
        """`phrase`, and what the value means."""
        meaning = str(node.get("description", "")).rstrip(".")
        return f"{self.phrase(node)} ({meaning})" if meaning else self.phrase(node)

    def _one(self, node: Node) -> str:
        if "const" in node:
            return json.dumps(node["const"], ensure_ascii=False)
        if "enum" in node:
            return "one of " + ", ".join(json.dumps(v, ensure_ascii=False) for v in node["enum"])
        kind = node.get("type")
        if kind == "array":
            return self._array(node)
        words = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
        if kind in ("integer", "number"):
            return words[kind] + _bounds(node)
        if kind == "string":
            return _text(node)
        return "a table" if kind == "object" else words.get(str(kind), "a value")

    def _array(self, node: Node) -> str:
        if "prefixItems" in node:
            inner = ", ".join(self.phrase(item) for item in node["prefixItems"])
            return f"a list of {len(node['prefixItems'])} ({inner})"
        size = _count(node.get("minItems"), node.get("maxItems"))
        items = node.get("items")
        return f"a list{size}" + (f", each {self.phrase(items)}" if items else "")


def model_keys(model: type[BaseModel]) -> Iterator[tuple[str, Node, SchemaView, bool]]:
    """(dotted key, schema, view, required) of every key that files of `model` may have, tables before what is in them."""
    view = SchemaView(model)

    def walk(path: str, node: Node) -> Iterator[tuple[str, Node, SchemaView, bool]]:
        for branch in view.branches(node):
            if branch.get("type") == "array" and isinstance(branch.get("items"), dict):
                yield from walk(f"{path}[]", branch["items"])
            for key, inner in branch.get("properties", {}).items():
                full = f"{path}.{key}" if path else key
                yield full, inner, view, key in branch.get("required", [])
                yield from walk(full, inner)

    yield from walk("", view.root)


def _bounds(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    parts = [
        f"{word} {node[key]}"
        for key, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in node
    ]
    return " " + " and ".join(parts) if parts else ""


def _text(node: Node) -> str:
    if "pattern" in node:
        return f"text of the form {node['pattern']}"
    kinds = {"path": "a path", "password": "a secret text", "date-time": "a date and time"}
    kind = kinds.get(str(node.get("format")), "text")
    size = _count(node.get("minLength"), node.get("maxLength"))
    return f"{kind}{size} character(s)" if size else kind


def _count(low: int | None, high: int | None) -> str:
    if low and high:
        return f" of {low} to {high}"
    if low:
        return f" of at least {low}"
    return f" of at most {high}" if high else ""
