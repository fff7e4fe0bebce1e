"""The HTTP API on a real uvicorn."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi.routing import APIRoute

from cloud.api.gate import OPEN_PATHS
from cloud.identity.rules import Role, Scope

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud

PASSWORD = "correct horse battery"


@pytest.fixture
def client(two_sites: RunningCloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=two_sites.url, timeout=30) as client:
        yield client


def _flat(routes: Iterable[object]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            inner = getattr(route, "original_router", None) or getattr(route, "router", None)
            yield from _flat(getattr(inner, "routes", []))


def _routes(cloud: RunningCloud) -> list[tuple[str, str]]:
    found = []
    for route in _flat(cloud.app.routes):
        path = route.path.replace("{site}", "north").replace("{device}", "gas-north")
        path = path.replace("{alarm}", "ALARM-north")
        for name in ("quantity", "token", "account", "letter"):
            path = path.replace("{" + name + "}", "1")
        found += [(method, path) for method in sorted(route.methods or ())]
    return found


def test_nothing_answers_without_credentials_but_the_doors(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    routes = _routes(two_sites)
    assert len(routes) > 40
    for method, path in [*routes, ("GET", "/nothing"), ("GET", "/openapi.json"), ("GET", "/docs")]:
        answer = client.request(method, path)
        page = client.request(method, path, headers={"Accept": "text/html"})
        if path in OPEN_PATHS:
            assert answer.status_code != 401 or path == "/login", path
        else:
            assert answer.status_code == 401, (method, path, answer.status_code)
            assert answer.json()["error"]["code"] == "identity.refused"
            assert page.status_code in (401, 303), (method, path)


def test_every_route_asks_what_the_caller_may_do(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    writer = two_sites.token(Scope.WRITE)
    open_to_all = (*OPEN_PATHS, "/ping", "/health", "/api/v2/write", "/api/v3/write_lp")
    for method, path in _routes(two_sites):
        if path not in open_to_all:
            answer = client.request(method, path, headers=writer)
            assert answer.status_code in (403, 422, 400), (method, path, answer.status_code)
            assert answer.status_code == 403 or method != "GET", (method, path)


def test_last_values_can_be_asked_for_by_kind_and_quantity(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    a = two_sites.token(Scope.READ)
    found = client.get("/api/v1/last", headers=a).json()
    assert {row["site"] for row in found} == {"north", "south"}
    one = found[0]
    wanted = {"measurement": one["measurement"], "quantity": one["quantity"]}
    some = client.get("/api/v1/last", params=wanted, headers=a).json()
    assert one in some
    assert {(row["measurement"], row["quantity"]) for row in some} == {tuple(wanted.values())}
    assert client.get("/api/v1/last", params={"quantity": "no_such"}, headers=a).json() == []
    columns = client.get("/api/v1/last", params={"shape": "columns"}, headers=a).json()
    assert [
        dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
    ] == found
    wanted_fields = {"field": ["device", "value"]}
    two = client.get("/api/v1/last", params=wanted_fields, headers=a).json()
    assert two == {name: columns[name] for name in ("device", "value")}
    assert client.get("/api/v1/last", params={"field": "colour"}, headers=a).status_code == 400


def test_a_caller_of_one_site_sees_nothing_of_the_other(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    a = two_sites.token(Scope.ALARMS, Scope.REGISTRY, sites=frozenset({"north"}))
    for path in ("devices", "last", "alarms", "gateways", "registry", "alarms?active=false"):
        answer = client.get(f"/api/v1/{path}", headers=a)
        assert answer.status_code == 200
        assert "south" not in answer.text, path
    assert "north" in client.get("/api/v1/devices", headers=a).text
    refused: list[tuple[str, str, object]] = [
        ("GET", "/api/v1/devices/south/gas-south", None),
        ("GET", "/api/v1/series/south/gas-south/h2s", None),
        ("GET", "/api/v1/alarms/ALARM-south", None),
        ("GET", "/api/v1/alarms/ALARM-south/journal", None),
        ("POST", "/api/v1/alarms/ALARM-south/ack", {"note": ""}),
        ("POST", "/api/v1/alarms/ALARM-south/reset", {"note": ""}),
        ("GET", "/api/v1/registry/south/gas-south", None),
        ("PUT", "/api/v1/registry/south/gas-south", {"name": "x", "kind": "gas"}),
        ("POST", "/api/v1/registry/south/gas-south/hardware", {"serial": "x"}),
        ("GET", "/devices/south/gas-south", None),
        ("GET", "/alarms/ALARM-south", None),
        ("POST", "/alarms/ALARM-south/ack", None),
        ("POST", "/devices/south/gas-south/registry", None),
    ]
    for method, path, body in refused:
        answer = client.request(method, path, json=body, headers=a)
        assert answer.status_code in (403, 404), (path, answer.status_code, answer.text)
    for path in ("/", "/map", "/alarms", "/gateways", "/fragments/devices"):
        page = client.get(path, headers=a)
        assert page.status_code == 200
        assert "south" not in page.text, path
    assert not two_sites.spine.alarms["ALARM-south"].acknowledged
    admin = two_sites.token(Scope.ADMIN, sites=frozenset({"north"}))
    across: list[tuple[str, str, object]] = [
        ("POST", "/api/v3/query_sql", {"q": "SELECT 1"}),
        ("GET", "/api/v1/deadletters", None),
        ("GET", "/api/v1/accounts", None),
    ]
    for method, path, body in across:
        answer = client.request(method, path, json=body, headers=admin)
        assert answer.status_code == 403
        assert answer.json()["error"]["reason"] == "out-of-site"


def test_devices_come_worst_first_with_value_quality_and_alarm(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    devices = client.get("/api/v1/devices", headers=two_sites.token(Scope.READ)).json()
    assert [d["device"] for d in devices] == ["gas-north", "gas-south", "truck-1"]
    first = devices[0]
    assert (first["alarm_level"], first["unacknowledged"], first["state"]) == (2, True, "ok")
    h2s = next(v for v in first["values"] if v["quantity"] == "h2s")
    assert (h2s["value"], h2s["unit"], h2s["quality"]) == (55.0, "[ppm]", "good")


def test_an_alarm_is_acknowledged_and_reset_with_the_callers_name(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    who = two_sites.token(Scope.ALARMS)
    at = "/api/v1/alarms/ALARM-north"
    refused = client.post(f"{at}/reset", json={}, headers=who)
    assert refused.status_code == 409
    assert refused.json()["error"]["reason"] == "still-beyond-limit"
    acked = client.post(f"{at}/ack", json={"note": "on my way"}, headers=who)
    assert acked.status_code == 200
    assert acked.json()["acknowledged"]
    assert client.post(f"{at}/ack", json={}, headers=who).status_code == 409
    two_sites.do(lambda spine: spine.returned("ALARM-north"))
    assert client.post(f"{at}/reset", json={}, headers=who).status_code == 200
    journal = client.get(f"{at}/journal", headers=who).json()
    assert [(e["change"], e["actor"], e["note"]) for e in journal] == [
        ("raised", "", ""),
        ("acknowledged", "test", "on my way"),
        ("returned", "", ""),
        ("reset", "test", ""),
    ]
    assert client.post("/api/v1/alarms/NONE/ack", json={}, headers=who).status_code == 404


def test_the_registry_takes_edits_and_replacements_and_tells_the_spine(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    who = two_sites.token(Scope.REGISTRY)
    at = "/api/v1/registry/north/gas-north"
    body = {"name": "Pump hall", "kind": "gas", "serial": "A1", "calibrated_on": "2026-05-01"}
    assert client.put(at, json=body, headers=who).status_code == 200
    told = client.post(f"{at}/hardware", json={"serial": "B2"}, headers=who)
    assert told.status_code == 201
    assert [h["serial"] for h in told.json()["hardware"]] == ["B2", "A1"]
    assert two_sites.spine.registry_changes >= 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/series/north/gas-north/h2s?from_ns=x", None),
        ("GET", "/api/v1/series/north/gas-north/h2s?from_ns=5&to_ns=4", None),
        ("GET", "/api/v1/series/north/gas-north/h2s?from_ns=-1", None),
        ("GET", f"/api/v1/series/north/gas-north/h2s?to_ns={2**70}", None),
        ("GET", "/api/v1/series/north/gas-north/DROP%20TABLE", None),
        ("GET", "/api/v1/alarms?limit=0", None),
        ("PUT", "/api/v1/registry/north/x", {"name": "", "kind": "gas"}),
        ("PUT", "/api/v1/registry/north/x", {"name": "x", "kind": "gas", "lat": 91}),
        ("PUT", "/api/v1/registry/north/x", {"name": "x", "kind": "gas", "surprise": 1}),
        ("PUT", "/api/v1/registry/north/x", {"name": "x", "kind": "gas", "lat": "NaN"}),
        ("POST", "/api/v1/accounts", {"name": "x", "password": "short", "role": "viewer"}),
        ("POST", "/api/v3/query_sql", {}),
        ("POST", "/api/v3/query_sql", {"q": "SELECT 1", "format": "xml"}),
        ("POST", "/api/v2/write?precision=h", None),
        ("DELETE", "/api/v1/devices", None),
        ("GET", "/api/v1/nothing", None),
        ("GET", f"/api/v1/deadletters/{2**70}", None),
    ],
)
def test_bad_input_is_the_callers_error_in_one_envelope(
    two_sites: RunningCloud, client: httpx.Client, method: str, path: str, body: object
) -> None:
    answer = client.request(method, path, json=body, headers=two_sites.token(Scope.ADMIN))
    assert 400 <= answer.status_code < 500, answer.text
    assert set(answer.json()["error"]) >= {"code", "message", "hint"}
    assert answer.json()["error"]["message"]


def test_malformed_json_and_odd_credentials_are_refused_clearly(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    bad = client.post("/api/v3/query_sql", content=b"{", headers=two_sites.token(Scope.ADMIN))
    assert bad.status_code == 400
    for header in ("Bearer", "Basic eDp5", "Bearer nonsense", "Token x"):
        answer = client.get("/api/v1/devices", headers={"Authorization": header})
        assert answer.status_code == 401, header
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    answer = client.get("/api/v1/devices", headers={"Cookie": "tocsin_session=nonsense"})
    assert answer.status_code == 401


def test_a_body_is_bounded_before_it_is_kept_whoever_sends_it(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    many = b"x" * 65_536
    form = client.post("/login", content=many + b"x")
    assert form.status_code == 400
    assert form.json()["error"]["message"] == "more than 65536 bytes"
    token = two_sites.token(Scope.QUERY) | {"Content-Type": "application/json"}
    said = client.post("/api/v3/query_sql", headers=token, content=many * 257)
    assert said.json()["error"]["message"] == "more than 16777216 bytes"
    chunked = client.post("/api/v3/query_sql", headers=token, content=iter([many] * 257))
    assert chunked.status_code == 400
    odd = client.post("/login", headers={"Transfer-Encoding": "chunked"}, content=iter([many] * 2))
    assert odd.status_code == 400


def test_json_without_its_content_type_is_told_how_to_send_it(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    answer = client.post(
        "/api/v3/query_sql",
        headers=two_sites.token(Scope.QUERY)
        | {"Content-Type": "application/x-www-form-urlencoded"},
        content=b'{"q": "SELECT 1"}',
    )
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["error"]["hint"]


def _csrf(client: httpx.Client) -> str:
    page = client.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    return page.text.split('data-csrf="')[1].split('"')[0]


def test_a_session_needs_its_csrf_token_and_a_foreign_page_gets_nowhere(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    two_sites.account("ann", Role.ADMIN)
    login = {"name": "ann", "password": PASSWORD}
    foreign = client.post("/login", data=login, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403
    answer = client.post("/login", data=login)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    csrf = _csrf(client)
    at = "/api/v1/alarms/ALARM-north/ack"
    assert client.post(at, json={}).status_code == 403
    assert client.post(at, json={}, headers={"X-CSRF-Token": "guess"}).status_code == 403
    assert client.post("/alarms/ALARM-north/ack", data={"note": "x"}).status_code == 403
    assert client.post(at, json={}, headers={"X-CSRF-Token": csrf}).status_code == 200


def test_a_token_is_shown_once_and_ends_when_revoked(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    two_sites.account("ann", Role.ADMIN)
    client.post("/login", data={"name": "ann", "password": PASSWORD})
    csrf = {"X-CSRF-Token": _csrf(client)}
    made = client.post(
        "/api/v1/tokens", json={"name": "grafana", "scopes": ["read"], "days": 1}, headers=csrf
    )
    assert made.status_code == 201
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    assert httpx.get(f"{two_sites.url}/api/v1/me", headers=bearer).json()["name"] == "ann (grafana)"
    assert made.json()["token"] not in client.get("/api/v1/tokens").text
    assert client.delete(f"/api/v1/tokens/{made.json()['id']}", headers=csrf).status_code == 200
    assert httpx.get(f"{two_sites.url}/api/v1/me", headers=bearer).status_code == 401


def test_queries_are_answered_in_the_shapes_of_influxdb(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    who = two_sites.token(Scope.QUERY)
    rows = client.post("/api/v3/query_sql", json={"db": "x", "q": "SELECT 1"}, headers=who)
    assert rows.json() == [
        {"time": "2027-01-15T08:00:00", "h2s": 3.5, "device": "a"},
        {"time": "2027-01-15T08:00:00.5", "h2s": None, "device": "b,c"},
    ]
    asked = {"q": "SELECT 1", "format": "csv"}
    table = client.get("/api/v3/query_sql", params=asked, headers=who)
    assert table.text.splitlines()[2] == '2027-01-15T08:00:00.5,,"b,c"'
    lines = client.get("/api/v3/query_sql", params=asked | {"format": "jsonl"}, headers=who)
    assert len(lines.text.splitlines()) == 2


def test_line_protocol_comes_in_by_both_doors_also_gzipped(
    two_sites: RunningCloud, client: httpx.Client
) -> None:
    who = two_sites.token(Scope.WRITE)
    zipped = {**who, "Content-Encoding": "gzip"}
    body = b"gas,device=a h2s=1 1"
    plain = client.post("/api/v2/write?bucket=b&precision=s", content=body, headers=who)
    assert plain.status_code == 204
    at = "/api/v3/write_lp?db=b&precision=second"
    assert client.post(at, content=gzip.compress(body), headers=zipped).status_code == 204
    assert two_sites.spine.written == [{"body": body.decode(), "precision": "s", "bucket": "b"}] * 2
    partial = client.post("/api/v2/write", content=body + b"\nbroken", headers=who)
    assert partial.status_code == 400
    assert partial.json()["code"] == "invalid"
    assert "line 2" in partial.json()["message"]
    for odd in (b"\x1f\x8bnot gzip", gzip.compress(body)[:-4]):
        assert client.post("/api/v2/write", content=odd, headers=zipped).status_code == 400
    assert client.post("/api/v2/write", content=b"\xff\xfe", headers=who).status_code == 400
    assert client.get("/ping", headers=who).status_code == 204
    assert client.get("/health", headers=who).json()["status"] == "pass"


def test_events_carry_only_the_callers_sites(two_sites: RunningCloud, client: httpx.Client) -> None:
    who = two_sites.token(Scope.READ, sites=frozenset({"north"}))
    seen: list[str] = []
    with client.stream("GET", "/api/v1/events", headers=who) as flow:
        for line in flow.iter_lines():
            seen.append(line)
            if line.startswith("event: hello"):
                for site in ("south", "north"):
                    two_sites.change(site)
            told = sum("event: last" in s or "event: alarm" in s for s in seen)
            if told == 2 and not line:
                break
    assert "gas-north" in "\n".join(seen)
    assert "ALARM-north" in "\n".join(seen)
    assert "south" not in "\n".join(seen)
