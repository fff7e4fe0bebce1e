"""Fields of a message that this version does not know.

Decoding ignores them, so a newer sender is understood; counting them costs a second, generic decode and is therefore
done on demand: the ingester looks at the first message of each stream, and at one in ten thousand after it.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
from msgspec import inspect

from tocsin.contract.codec import HEADER_BYTES, MAX_BODY_BYTES, Body, Header

_Tree = (
    dict[str, Any] | None
)  # field -> tree of its value; key "*" for elements; None: anything goes


def unknown_fields(header: Header, data: bytes, kind: type[Body]) -> dict[str, int]:
    """Dotted name -> how often. `data` must have passed `decode_body`."""
    body = data[HEADER_BYTES:]
    if header.codec[1] == "d":
        body = zlib.decompressobj(-15).decompress(body, MAX_BODY_BYTES)
    decode = msgspec.json.decode if header.codec[0] == "j" else msgspec.msgpack.decode
    return _compare(decode(body), _tree(kind))


def unknown_in_json(data: bytes, kind: type[msgspec.Struct]) -> dict[str, int]:
    """The same for the messages that have no header: health, resume, command and commit-ack."""
    return _compare(msgspec.json.decode(data), _tree(kind))


_trees: dict[type, _Tree] = {}


def _tree(kind: type) -> _Tree:
    if kind not in _trees:
        _trees[kind] = _node(inspect.type_info(kind))
    return _trees[kind]


def _node(info: inspect.Type) -> _Tree:
    if isinstance(info, inspect.StructType):
        return {field.encode_name: _node(field.type) for field in info.fields}
    if isinstance(info, inspect.ListType):
        return {"*": _node(info.item_type)}
    if isinstance(info, inspect.DictType):
        return {"*": _node(info.value_type)}
    if isinstance(info, inspect.UnionType):
        return next((tree for part in info.types if (tree := _node(part)) is not None), None)
    return None


def _compare(value: object, tree: _Tree) -> dict[str, int]:
    found: dict[str, int] = {}
    _walk(value, tree, "", found)
    return found


def _walk(value: object, tree: _Tree, path: str, found: dict[str, int]) -> None:
    if tree is None:
        return
    if isinstance(value, list) and "*" in tree:
        for item in value:
            _walk(item, tree["*"], path, found)
    elif isinstance(value, dict):
        for key, item in value.items():
            if "*" in tree:
                _walk(item, tree["*"], path, found)
            elif key in tree:
                _walk(item, tree[key], f"{path}{key}.", found)
            else:
                found[f"{path}{key}"] = found.get(f"{path}{key}", 0) + 1
