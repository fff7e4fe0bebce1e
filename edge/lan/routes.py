"""The page's few addresses: the shell and its files, login, what is in force, and what is asked."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files
from urllib.parse import parse_qs

import msgspec

from edge.lan.desk import Answer, Asked, Desk, PermitView
from edge.lan.sessions import Session, Sessions
from edge.lan.wire import Request, Response
from tocsin.contract.catalogue import catalogue
from tocsin.permits.words import ACTIONS, CAUSES, STATES
from tocsin.sdk import Clock

COOKIE = "tocsin-lan"
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/key.js": ("key.js", "text/javascript; charset=utf-8"),
    "/words.json": ("words.json", "application/json"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/manifest.webmanifest": ("manifest.webmanifest", "application/manifest+json"),
}
_ARMOUR = (
    ("content-security-policy", "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
)  # fmt: skip


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is typed at the login."""

    account: str
    pin: str


class State(msgspec.Struct, frozen=True):
    """Everything the page shows."""

    gateway: str
    now_ns: int
    account: str
    name: str
    csrf: str
    cloud_lost_ns: int | None
    permits: tuple[PermitView, ...]
    phones: dict[str, str]


class Routes:
    """`cloud_lost_ns` tells since when the cloud is away (wall clock), None while it is there."""

    def __init__(
        self,
        gateway: str,
        desk: Desk,
        clock: Clock,
        cloud_lost_ns: Callable[[], int | None],
        *,
        secure: bool,
    ) -> None:
        self._gateway, self._desk, self._clock = gateway, desk, clock
        self._cloud_lost_ns, self._secure = cloud_lost_ns, secure
        self.sessions = Sessions(clock)

    async def answer(self, request: Request) -> Response:
        """What one request gets."""
        if request.method in ("GET", "HEAD"):
            return self._get(request)
        if request.method != "POST":
            return _told(405, {"error": "method"}, ("allow", "GET, HEAD, POST"))
        if not self._is_from_here(request):
            return _told(403, {"error": "origin"})
        try:
            return await self._post(request)
        except msgspec.MsgspecError as exc:
            return _told(400, {"error": str(exc)})

    def _get(self, request: Request) -> Response:
        if request.path == "/api/state":
            session = self.sessions.find(_token(request))
            if session is None:
                return _told(401, {"error": "login"})
            return self._state(session, parse_qs(request.query, keep_blank_values=True))
        if request.path not in _FILES:
            return _told(404, {"error": "not found"})
        name, kind = _FILES[request.path]
        return Response(200, _file(name), kind, _ARMOUR)

    def _state(self, session: Session, query: dict[str, list[str]]) -> Response:
        state = State(
            self._gateway,
            self._clock.now_ns(),
            session.account,
            session.name,
            session.csrf,
            self._cloud_lost_ns(),
            self._desk.permits(session.account, next(iter(query.get("holder", ())), None)),
            self._desk.phones(session.account),
        )
        return Response(200, msgspec.json.encode(state), headers=_ARMOUR)

    async def _post(self, request: Request) -> Response:
        if request.path == "/api/login":
            return await self._login(
                msgspec.json.decode(request.body, type=Credentials), request.peer
            )
        token = _token(request)
        session = self.sessions.find(token)
        if session is None:
            return _told(401, {"error": "login"})
        if not secrets.compare_digest(request.headers.get("x-csrf", "").encode(), session.csrf.encode()):  # fmt: skip
            return _told(403, {"error": "csrf"})
        if request.path == "/api/logout":
            self.sessions.end(token)
            return _told(200, {"done": True}, ("set-cookie", self._cookie("", 0)))
        if request.path != "/api/ask":
            return _told(404, {"error": "not found"})
        asked = msgspec.json.decode(request.body, type=Asked)
        answer = await self._desk.ask(session.account, asked)
        return Response(200 if answer.done else 409, msgspec.json.encode(answer), headers=_ARMOUR)

    async def _login(self, given: Credentials, peer: str) -> Response:
        if wait_s := self.sessions.barred_s(given.account, peer):
            told = Answer(False, f"尝试次数过多，请 {wait_s} 秒后再试。", f"Too many tries: wait {wait_s} s.")  # fmt: skip
            return Response(429, msgspec.json.encode(told), headers=(*_ARMOUR, ("retry-after", str(wait_s))))  # fmt: skip
        name = await self._desk.login(given.account, given.pin)
        if name is None:
            self.sessions.failed(given.account, peer)
            told = Answer(False, "账号或 PIN 不正确。", "Account or PIN is wrong.")
            return Response(401, msgspec.json.encode(told), headers=_ARMOUR)
        token, session = self.sessions.begin(given.account, name, peer)
        return _told(200, {"done": True, "csrf": session.csrf}, ("set-cookie", self._cookie(token)))

    def _cookie(self, token: str, max_age_s: int = 12 * 3600) -> str:
        secure = "; Secure" if self._secure else ""
        return f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}"

    def _is_from_here(self, request: Request) -> bool:
        """Whether a browser says that one of our own pages sends it (Fetch metadata, or the origin it names)."""
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        origin = request.headers.get("origin")
        return origin is None or origin.partition("://")[2] == request.headers.get("host", "")


def words() -> bytes:
    """States, actions, causes and gases for the page's script: name -> (Chinese, English)."""
    told = {
        "state": {k.value: v for k, v in STATES.items()},
        "action": {k.value: v for k, v in ACTIONS.items()},
        "cause": {k.value: v for k, v in CAUSES.items()},
        "quantity": {q.name: (q.zh, q.en) for q in catalogue()["gas"].quantities.values()},
    }
    return msgspec.json.encode(told)


@cache
def _file(name: str) -> bytes:
    if name == "words.json":
        own = msgspec.json.decode((files("edge.lan") / "static" / name).read_bytes())
        return msgspec.json.encode(own | msgspec.json.decode(words()))
    return (files("edge.lan") / "static" / name).read_bytes()


def _token(request: Request) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(request.headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""


def _told(status: int, what: object, *headers: tuple[str, str]) -> Response:
    return Response(status, msgspec.json.encode(what), headers=(*_ARMOUR, *headers))
