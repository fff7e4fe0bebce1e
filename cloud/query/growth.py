"""How much longer than what is stored a text may become inside one row.

DuckDB does not count such texts as memory and is not stopped while it builds them, so the statement itself is bounded:
functions that multiply are on no list, and those that join are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from tocsin.errors import QueryError, QueryReason

MAX_JOINS = 8
MAX_GATHERED = 4
MAX_TEXT_BYTES = 1024
MAX_REPEATED_PARTS = 1000
_MAX_TIME_FORMAT_BYTES = 64

_JOINS = {"||", "concat", "concat_ws"}
_MAKERS = {"list_value", "struct_pack", "row"}
_GATHERERS = {"list", "array_agg", "string_agg", "histogram", "lttb"}
_GATHER_WITH_N = {"min": 1, "max": 1, "min_by": 2, "max_by": 2, "arg_min": 2, "arg_max": 2}
_FRACTIONS = {"quantile", "quantile_cont", "quantile_disc", "approx_quantile"}
_TYPES = frozenset(
    """
    bool boolean logical tinyint smallint integer int int1 int2 int4 int8 short long signed bigint hugeint utinyint
    usmallint uinteger ubigint uhugeint uint8 uint16 uint32 uint64 float float4 float8 real double decimal dec numeric
    char bpchar varchar text string date time timestamp datetime timestamp_s timestamp_ms timestamp_us timestamp_ns
    timestamptz interval
    """.split()
) | {"timestamp with time zone", "timestamp_ns with time zone"}
_GENERATED_NAME = re.compile(r"unnamed_\w+|valueslist")


def check_growth(nodes: Iterable[dict[str, Any]]) -> None:
    """Refuse a statement, given as the nodes of its tree, that could build long texts out of short ones.

    Raises:
        QueryError: it could; the message says by what.
    """
    every = list(nodes)
    rows = {name.lower() for node in every for name in _row_names(node)}
    joins = gathered = 0
    recursive = False
    for node in every:
        check_texts(_texts(node))
        _check_aliases(node)
        if node.get("materialized") == "CTE_MATERIALIZE_NEVER":  # its plan doubles with every use
            raise QueryError(
                QueryReason.FORBIDDEN,
                "NOT MATERIALIZED is not let through",
                hint="leave it out: WITH t AS (SELECT ...)",
            )
        recursive = recursive or node.get("type") == "RECURSIVE_CTE_NODE"
        cls = node.get("class")
        if cls in ("FUNCTION", "WINDOW"):
            _check_arguments(node)
            joins += _joins(node)
            gathered += _gathers(node)
            if cls == "WINDOW" and _gathers(node):
                raise _too_long(f"{_name(node)}() OVER (...)")
        elif cls == "TYPE" and str(node.get("type_name", "")).lower() not in _TYPES:
            raise _too_long(f"a cast to {node.get('type_name')}")
        elif cls == "STAR" and node.get("columns"):
            raise _too_long("COLUMNS()")
        elif cls == "COLUMN_REF" and _is_row(node.get("column_names") or [], rows):
            raise _too_long(f"{node['column_names'][-1]}, the name of a whole row, as a value")
    if joins > MAX_JOINS:
        raise _too_long(
            f"more than {MAX_JOINS} concatenations (|| and concat) and list elements, here {joins},"
        )
    if gathered > MAX_GATHERED:
        raise _too_long(f"more than {MAX_GATHERED} aggregates that gather values into one")
    if joins and gathered:
        raise _too_long("an aggregate that gathers values beside a concatenation or a list")
    if recursive and (joins or gathered):
        raise _too_long("a concatenation in a recursive statement")


def check_texts(texts: Iterable[object]) -> None:
    """Refuse a text of the statement or of its parameters that is too long.

    Raises:
        QueryError: one has more than `MAX_TEXT_BYTES`.
    """
    for text in texts:
        if isinstance(text, str) and len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
            raise _too_long(f"a text or name of more than {MAX_TEXT_BYTES} bytes")


def _texts(node: dict[str, Any]) -> Iterable[object]:
    for value in node.values():
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _name(node: dict[str, Any]) -> str:
    return str(node.get("function_name", "")).lower()


def _arguments(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The arguments of a function, or of one used with OVER."""
    found = node.get("arguments") or node.get("children") or []
    return [a.get("expression", a) for a in found if isinstance(a, dict)]


def _joins(node: dict[str, Any]) -> int:
    name, n = _name(node), len(_arguments(node))
    if name in _JOINS:
        return max(n - 1, 1)
    return n if name in _MAKERS else 0  # a list written as text doubles its quotes


def _gathers(node: dict[str, Any]) -> bool:
    name = _name(node)
    return name in _GATHERERS or len(_arguments(node)) > _GATHER_WITH_N.get(name, 99)


def _check_arguments(node: dict[str, Any]) -> None:
    name, arguments = _name(node), _arguments(node)
    kinds = [a.get("class") for a in arguments]
    if "STAR" in kinds or any(a.get("type") == "OPERATOR_UNPACK" for a in arguments):
        raise _too_long(f"{name}(*)")
    if name in _FRACTIONS and "CONSTANT" not in kinds[1:2] and len(kinds) > 1:
        raise _too_long(f"{name}() of several fractions")
    if name == "regexp_extract" and len(kinds) > 2 and kinds[2] != "CONSTANT":
        raise _too_long("regexp_extract() of several groups")
    if name == "strftime":
        texts = [str((a.get("literal") or {}).get("text", "")) for a in arguments]
        if "CONSTANT" not in kinds or max(map(len, texts)) > _MAX_TIME_FORMAT_BYTES:
            raise _too_long(
                f"strftime() with a format computed or longer than {_MAX_TIME_FORMAT_BYTES} bytes"
            )


def _check_aliases(node: dict[str, Any]) -> None:
    """`SELECT a + a AS b, b + b AS c` is written out in full by DuckDB, twice as long at each step."""
    sizes: dict[str, int] = {}
    repeated = 0
    for item in node.get("select_list") or ():
        parts = list(nodes_of(item))
        names = [p["column_names"] for p in parts if p.get("class") == "COLUMN_REF"]
        again = sum(sizes.get(str(path[-1]).lower(), 0) for path in names if path)
        repeated += again
        if repeated > MAX_REPEATED_PARTS:
            raise QueryError(
                QueryReason.FORBIDDEN,
                f"columns made of one another, more than {MAX_REPEATED_PARTS} parts when written out",
                hint="make them one after another in sub-selects",
            )
        if item.get("alias"):
            sizes[str(item["alias"]).lower()] = len(parts) + again


def nodes_of(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a syntax tree."""
    pending = [tree]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _row_names(node: dict[str, Any]) -> Iterable[str]:
    """Names under which a whole made-up row can be taken as one value."""
    entries = node.get("cte_map")
    for entry in entries.get("map", ()) if isinstance(entries, dict) else ():
        yield str(entry.get("key", ""))
    if node.get("type") in {"BASE_TABLE", "SUBQUERY", "EXPRESSION_LIST", "JOIN"} and (
        node.get("class") is None and node.get("alias")
    ):
        yield str(node["alias"])


def _is_row(path: list[Any], rows: set[str]) -> bool:
    if len(path) != 1:
        return False
    name = str(path[0]).lower()
    return name in rows or _GENERATED_NAME.fullmatch(name) is not None


def _too_long(what: str) -> QueryError:
    return QueryError(
        QueryReason.FORBIDDEN,
        f"{what} is not let through",
        hint="it could build texts longer than memory; put texts together after the query",
    )
