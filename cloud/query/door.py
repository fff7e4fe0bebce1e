"""The query door: one statement of type SELECT, made of known parts only.

The statement is parsed by DuckDB itself and its syntax tree walked; a kind of node, table or function that is not
on a list here is refused, so that what a later DuckDB adds stays shut until somebody opens it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from cloud.query.functions import ALLOWED, TABLE_FUNCTIONS, WINDOWS
from cloud.query.growth import check_growth, nodes_of
from cloud.query.language import foreign_language
from tocsin.errors import QueryError, QueryReason

MAX_SQL_BYTES = 64 << 10
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main' ORDER BY 1"

_QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_TABLE_REFS = {
    "BASE_TABLE",
    "SUBQUERY",
    "JOIN",
    "TABLE_FUNCTION",
    "EXPRESSION_LIST",
    "EMPTY",
    "SHOW_REF",
}
_EXPRESSIONS = {
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "DEFAULT", "FUNCTION",
    "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", "WINDOW",
}  # fmt: skip
_SCHEMAS = {(): True, ("main",): True, ("iox",): False}
_INFORMATION = {"tables", "columns"}


def check(sql: str, tables: Collection[str], cursor: duckdb.DuckDBPyConnection) -> str:
    """The statement to run, when the door lets `sql` through. `cursor` parses, `tables` are the measurements.

    Raises:
        QueryError: refused; `reason` and `hint` say why and what to write instead.
    """
    if len(sql.encode("utf-8", "replace")) > MAX_SQL_BYTES or "\x00" in sql:
        raise QueryError(QueryReason.SYNTAX, f"longer than {MAX_SQL_BYTES} bytes or binary")
    language = foreign_language(sql)
    if language:
        raise QueryError(
            QueryReason.WRONG_LANGUAGE,
            f"this is {language}; the embedded store and InfluxDB 3 speak SQL",
            hint="write SQL, such as SELECT time, h2s FROM gas WHERE time > now() - INTERVAL '1 hour'",
        )
    statement = _one_select(sql, cursor)
    tree = _syntax_tree(statement, cursor)
    if _is_show_tables(tree):
        return _TABLES
    known = {name.lower() for name in tables}
    ctes = {name.lower() for name in _cte_names(tree)}
    sources: set[int] = set()
    for node in nodes_of(tree):
        if node.get("type") == "TABLE_FUNCTION":
            sources.add(id(node.get("function")))
        _check_node(node, known, ctes, tables, is_source=id(node) in sources)
    check_growth(nodes_of(tree))
    return statement


def _one_select(sql: str, cursor: duckdb.DuckDBPyConnection) -> str:
    try:
        statements = cursor.extract_statements(sql)
    except duckdb.Error as exc:
        raise QueryError(QueryReason.SYNTAX, _first_lines(exc)) from exc
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        found = ", ".join(s.type.name for s in statements) or "nothing"
        raise QueryError(
            QueryReason.NOT_ONE_SELECT,
            f"exactly one SELECT is answered here, this is: {found}",
            hint="the query door only reads; send one statement that starts with SELECT or WITH",
        )
    return str(statements[0].query).strip().rstrip(";").rstrip()


def _syntax_tree(statement: str, cursor: duckdb.DuckDBPyConnection) -> Any:
    try:
        row = cursor.execute("SELECT json_serialize_sql(?)", [statement]).fetchone()
    except duckdb.Error as exc:
        raise QueryError(QueryReason.SYNTAX, _first_lines(exc)) from exc
    answer: Any = json.loads(row[0]) if row else {"error": True}
    if answer.get("error") or len(answer.get("statements", ())) != 1:
        raise QueryError(
            QueryReason.NOT_ONE_SELECT, str(answer.get("error_message", "not a plain SELECT"))
        )
    return answer["statements"][0]


def _cte_names(tree: Any) -> Iterator[str]:
    for node in nodes_of(tree):
        entries = node.get("cte_map")
        for entry in entries.get("map", ()) if isinstance(entries, dict) else ():
            if isinstance(entry.get("key"), str) and _NAME.fullmatch(entry["key"]):
                yield entry["key"]


def _is_show_tables(tree: Any) -> bool:
    source = tree.get("node", {}).get("from_table") or {}
    return source.get("type") == "SHOW_REF" and source.get("table_name", "").strip('"') == "tables"


def _check_node(
    node: dict[str, Any],
    known: set[str],
    ctes: set[str],
    tables: Collection[str],
    *,
    is_source: bool,
) -> None:
    kind, cls = node.get("type"), node.get("class")
    if "select_statement" in node or "returning_list" in node:
        raise _forbidden(f"{kind} changes data")
    if isinstance(kind, str):
        if cls is None and kind.endswith("_NODE") and kind not in _QUERY_NODES:
            raise _forbidden(f"{kind} is not read-only")
        if cls is not None and cls not in _EXPRESSIONS:
            raise _forbidden(f"expressions of kind {cls} are not answered here")
    if "from_table" in node and isinstance(node["from_table"], dict):
        _check_ref(node["from_table"], known, ctes, tables)
    for side in ("left", "right", "source"):
        ref = node.get(side)
        if kind == "JOIN" and isinstance(ref, dict):
            _check_ref(ref, known, ctes, tables)
    if cls == "FUNCTION":
        _check_function(node, is_source=is_source)
    elif cls == "WINDOW":
        name = str(node.get("function_name", "")).lower()
        if name not in ALLOWED and name not in WINDOWS:
            raise _no_function(name)
    elif kind == "BASE_TABLE":
        _check_table(node, known, ctes, tables)


def _check_ref(
    ref: dict[str, Any], known: set[str], ctes: set[str], tables: Collection[str]
) -> None:
    kind = ref.get("type")
    if kind not in _TABLE_REFS:
        raise _forbidden(f"tables of kind {kind} are not answered here")
    if kind == "BASE_TABLE":
        _check_table(ref, known, ctes, tables)
    elif kind == "TABLE_FUNCTION":
        name = str((ref.get("function") or {}).get("function_name", "")).lower()
        if name not in TABLE_FUNCTIONS:
            raise _forbidden(f"table function {name}()")
    elif kind == "SHOW_REF" and ref.get("query") is None:
        raise _forbidden("this SHOW")


def _check_function(node: dict[str, Any], *, is_source: bool) -> None:
    """`range()` as a value builds its list in one piece, past every limit; after FROM it is a stream of rows."""
    name = str(node.get("function_name", "")).lower()
    path = [str(p).lower() for p in (node.get("qualified_name") or {}).get("path", [name])]
    if len(path) > 1 or node.get("catalog"):
        raise _forbidden(f"the qualified function {'.'.join(path)}()")
    if name not in ALLOWED and not (is_source and name in TABLE_FUNCTIONS):
        raise _no_function(name)


def _check_table(
    node: dict[str, Any], known: set[str], ctes: set[str], tables: Collection[str]
) -> None:
    path = [str(p) for p in (node.get("qualified_name") or {}).get("path", [])] or [
        p for p in (node.get("catalog_name"), node.get("schema_name"), node.get("table_name")) if p
    ]
    name = path[-1].lower()
    schema = tuple(p.lower() for p in path[:-1])
    if schema == ("information_schema",) and name in _INFORMATION:
        return
    if schema in ((), ("main",)) and name in known:
        return
    if schema == () and name in ctes:
        return
    if schema not in ((), ("main",)):
        raise _forbidden(f"the table {'.'.join(path)}")
    near = difflib.get_close_matches(name, tables, 3)
    raise QueryError(
        QueryReason.UNKNOWN_NAME,
        f"there is no measurement {path[-1]!r}",
        hint=f"did you mean {', '.join(near)}?" if near else "SHOW TABLES lists the measurements",
    )


def _forbidden(what: str) -> QueryError:
    return QueryError(
        QueryReason.FORBIDDEN,
        f"{what} is not let through",
        hint="docs/reference/query.md lists what the query door lets through",
    )


def _no_function(name: str) -> QueryError:
    near = difflib.get_close_matches(name, ALLOWED, 3)
    return QueryError(
        QueryReason.FORBIDDEN,
        f"the function {name}() is not let through",
        hint=f"did you mean {', '.join(near)}?"
        if near
        else "docs/reference/query.md lists the functions",
    )


def _first_lines(exc: BaseException) -> str:
    return " ".join(str(exc).split("\n\n")[0].split())[:500]
