"""One person of the crew, as the cloud's and the gateway's pages know them: an account, an authenticator app, a phone key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import msgspec

from tocsin.grants.primitives import public_key, sign
from tocsin.lab.children import LabError

PASSWORD, PIN = "a long enough password", "271828"
STEP_S = 30  # RFC 6238
CODE_LASTS_S = 8  # a code that ends sooner is left out: what it signs may come seconds later


class RefusalError(LabError):
    """The cloud or the gateway of a scripted day said no. `reason` is the permit's, else the error's code."""

    code = "lab.refused"

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Person:
    """Requests of one account; every one has a time-out."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self._url = name, url.rstrip("/")
        self._cookie = self._csrf = ""
        self._secret = b""
        self._last_step = 0
        self.seed = hashlib.sha256(name.encode()).digest()

    def log_in(self) -> None:
        """Begin a session at the console."""
        self._begin(self._form("/login", name=self.name, password=PASSWORD))

    def set_up(self, link: str) -> None:
        """Become the first administrator by the link that works once."""
        token = urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)["token"][0]
        given = {"name": self.name, "password": PASSWORD, "repeat": PASSWORD}
        self._begin(self._form("/setup", token=token, **given))

    def get(self, path: str) -> Any:
        """The decoded answer."""
        return self._send("GET", path, None)

    def post(self, path: str, body: object = None) -> Any:
        """The decoded answer. Raises RefusalError."""
        return self._send("POST", path, {} if body is None else body)

    def put(self, path: str, body: object) -> Any:
        """The decoded answer. Raises RefusalError."""
        return self._send("PUT", path, body)

    @property
    def secret(self) -> str:
        """The authenticator's key, as people type it into an app; "" before it is set up."""
        return base64.b32encode(self._secret).decode().rstrip("=")

    def enrol(self) -> None:
        """Set up the authenticator."""
        text = str(self.post("/me/second-factor", {"password": PASSWORD})["secret"])
        self._secret = base64.b32decode(text + "=" * (-len(text) % 8))
        self.post("/me/second-factor/confirm", {"code": self.code()})

    def code(self) -> str:
        """The authenticator's next code that was not used yet; waits where the next one is too far off."""
        oldest = (int(time.time()) + CODE_LASTS_S) // STEP_S - 1
        self._last_step = max(self._last_step + 1, oldest)
        while self._last_step > int(time.time()) // STEP_S + 1:
            time.sleep(0.5)
        digest = hmac.new(self._secret, self._last_step.to_bytes(8, "big"), hashlib.sha1).digest()
        offset = digest[-1] & 15
        number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
        return f"{number % 10**6:06d}"

    def register_phone(self) -> None:
        """The phone's key, and the PIN for gateways."""
        proof = sign(self.seed, b"HOLD1" + self.name.encode()).hex()
        public = public_key(self.seed).hex()
        self.post("/me/keys", {"public": public, "proof": proof, "name": "phone"})
        self.put("/me/pin", {"password": PASSWORD, "pin": PIN})

    def photo(self, site: str) -> str:
        """The SHA-256 of a picture that was handed in."""
        picture = b"\xff\xd8\xff\xe0" + self.seed * 20
        headers = self._headers() | {"Content-Type": "image/jpeg"}
        path = f"/api/v1/permit-ledger/photos/{site}"
        request = urllib.request.Request(self._url + path, picture, headers)
        return str(msgspec.json.decode(_answer(request))["sha256"])

    def fetch(self, path: str) -> bytes:
        """An answer as it came."""
        return _answer(urllib.request.Request(self._url + path, headers=self._headers()))

    def _send(self, method: str, path: str, body: object) -> Any:
        data = None if body is None else msgspec.json.encode(body)
        headers = self._headers() | {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/api/v1{path}", data, headers, method=method)
        answer = _answer(request)
        return msgspec.json.decode(answer) if answer else None

    def _headers(self) -> dict[str, str]:
        return {"Cookie": self._cookie, "X-CSRF-Token": self._csrf}

    def _form(self, path: str, **fields: str) -> str:
        data = urllib.parse.urlencode(fields).encode()
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(urllib.request.Request(self._url + path, data), timeout=30.0) as told:
                raise LabError(f"{path}: HTTP {told.status}")
        except urllib.error.HTTPError as exc:
            if exc.code != 303:
                raise LabError(f"{path}: HTTP {exc.code}") from exc
            return str(exc.headers["set-cookie"]).partition(";")[0]

    def _begin(self, cookie: str) -> None:
        self._cookie = cookie
        shown = self.fetch("/").decode("utf-8")
        found = re.search(r'data-csrf="([0-9a-f]+)"', shown)
        if found is None:
            raise LabError("the console shows no token for its forms")
        self._csrf = found[1]


class PagePerson:
    """The same person at the gateway's own page, with the cloud away."""

    def __init__(self, person: Person, url: str, permit: str) -> None:
        self._person, self._url, self._permit = person, url, permit
        body = msgspec.json.encode({"account": person.name, "pin": PIN})
        request = urllib.request.Request(f"{url}/api/login", body)
        try:
            with urllib.request.urlopen(request, timeout=30.0) as told:
                self._csrf = str(msgspec.json.decode(told.read())["csrf"])
                self._cookie = str(told.headers["set-cookie"]).partition(";")[0]
        except (OSError, urllib.error.URLError) as exc:
            raise LabError(f"{person.name} at the gateway's page: {exc}") from exc

    def ask(self, action: str, **said: str) -> dict[str, Any]:
        """What the gateway tells beside. Raises RefusalError with the sentence it shows."""
        body = msgspec.json.encode({"permit": self._permit, "action": action, "said": said})
        headers = {"Cookie": self._cookie, "X-CSRF": self._csrf}
        request = urllib.request.Request(f"{self._url}/api/ask", body, headers)
        told: dict[str, Any] = msgspec.json.decode(_answer(request))
        return dict(told.get("told") or {})

    def unlock(self, lock: str) -> None:
        """Tap: the lock's challenge, signed by the phone's key, and the lock opens."""
        public = public_key(self._person.seed).hex()
        told = self.ask("challenge", lock=lock, public=public)
        signature = sign(self._person.seed, bytes.fromhex(str(told["sign"]))).hex()
        self.ask("unlock", lock=lock, public=public, signature=signature)

    def shown(self) -> dict[str, Any]:
        """The permit as the page shows it; empty where it does not."""
        request = urllib.request.Request(f"{self._url}/api/state", headers={"Cookie": self._cookie})
        state = msgspec.json.decode(_answer(request))
        found = [p for p in state["permits"] if p["permit"] == self._permit]
        return dict(found[0]) if found else {}


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_more: object) -> None:
        return None


def _answer(request: urllib.request.Request) -> bytes:
    path = urllib.parse.urlsplit(request.full_url).path
    try:
        with urllib.request.urlopen(request, timeout=60.0) as told:
            body: bytes = told.read()
            return body
    except urllib.error.HTTPError as exc:
        said = exc.read()
        if exc.code == 409:
            raise _refusal(path, said) from exc
        raise LabError(f"{request.method} {path}: HTTP {exc.code}: {said[:400]!r}") from exc
    except OSError as exc:
        raise LabError(f"{path}: {exc}") from exc


def _refusal(path: str, said: bytes) -> RefusalError:
    told = msgspec.json.decode(said)
    if "error" in told:
        error = told["error"]
        return RefusalError(
            str(error.get("reason") or error["code"]), f"{path}: {error['message']}"
        )
    return RefusalError("page", str(told["en"]))
