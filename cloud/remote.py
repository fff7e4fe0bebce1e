"""A running cloud as the command line reaches it: its socket on this machine, or its API elsewhere."""

from __future__ import annotations

import base64
import getpass
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import quote, urlencode, urlsplit

from cloud.rpc.client import call_once
from tocsin.cli.output import note
from tocsin.cli.paths import last_cloud_dir
from tocsin.errors import SpineError, SpineReason, TocsinError, UsageError

Row = dict[str, object]
HTTP_TIMEOUT_S = 30.0


class Place(Protocol):
    """What the commands need of a cloud."""

    def alarms(self, *, active: bool, limit: int) -> list[Row]: ...

    def act(self, verb: str, alarm: str, actor: str | None, why: str) -> Row: ...

    def journal(self, alarm: str) -> list[Row]: ...

    def devices(self) -> list[Row]: ...

    def give(
        self,
        site: str,
        device: str,
        name: str,
        args: Mapping[str, str],
        actor: str | None,
        within_s: float,
    ) -> Row: ...

    def confirm(self, command: str, actor: str | None, within_s: float) -> Row: ...

    def command(self, command: str) -> Row: ...

    def commands(self, limit: int) -> list[Row]: ...

    def push_config(
        self, gateway: str, toml: str, actor: str | None, version: int | None, expires_s: float
    ) -> Row: ...

    def configs(self, gateway: str, limit: int) -> list[Row]: ...

    def config(self, gateway: str, version: int) -> Row: ...

    def push_model(
        self,
        gateway: str,
        toml: str,
        files: Mapping[str, bytes],
        actor: str | None,
        expires_s: float,
    ) -> Row: ...

    def models(self, gateway: str, limit: int) -> list[Row]: ...

    def audit(self, gateway: str, from_ns: int | None, to_ns: int | None) -> Row: ...

    def completeness(self, from_ns: int | None, to_ns: int | None) -> list[Row]: ...

    def counters(self) -> Row: ...

    def permits(self, live: bool, limit: int) -> list[Row]: ...

    def permit(self, permit: str) -> Row: ...

    def permit_journal(self, permit: str) -> list[Row]: ...

    def permit_export(self, permit: str) -> bytes: ...

    def lock_orders(self) -> Row: ...

    def key_changes(self) -> list[Row]: ...


def place_of(data: Path | None, url: str | None, token: str | None) -> Place:
    """The cloud that is meant.

    Raises:
        UsageError: both or neither were named.
    """
    if url is not None:
        if data is not None:
            raise UsageError("--data and --url exclude each other", hint="give one of them")
        if not (token or "").strip():
            hint = "--token TOKEN or TOCSIN_TOKEN; `tocsin token create` at the cloud makes one"
            raise UsageError("--url needs a token", hint=hint)
        return HttpPlace(url, token or "")
    return SocketPlace(
        socket_of(data, "--data DIR of a running one, or --url ADDRESS --token TOKEN")
    )


def socket_of(data: Path | None, hint: str = "--data DIR of a running one") -> Path:
    """The socket of the cloud with this data directory, or of the last one started here.

    Raises:
        UsageError: none was named, and none was ever started.
    """
    if data is None:
        data = last_cloud_dir()
        if data is None:
            raise UsageError("which cloud?", hint=hint)
        note(f"cloud in {data}")
    return data / "spine.sock"


class SocketPlace:
    """By the spine's socket, whose file permissions say who may."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def alarms(self, *, active: bool, limit: int) -> list[Row]:
        return cast(list[Row], call_once(self._path, "alarms", active=active, limit=limit))

    def act(self, verb: str, alarm: str, actor: str | None, why: str) -> Row:
        name = getpass.getuser() if actor is None else actor
        return cast(Row, call_once(self._path, f"alarm_{verb}", alarm=alarm, actor=name, note=why))

    def journal(self, alarm: str) -> list[Row]:
        return cast(list[Row], call_once(self._path, "alarm_journal", alarm=alarm))

    def devices(self) -> list[Row]:
        return cast(list[Row], call_once(self._path, "devices"))

    def give(
        self,
        site: str,
        device: str,
        name: str,
        args: Mapping[str, str],
        actor: str | None,
        within_s: float,
    ) -> Row:
        told = call_once(
            self._path,
            "command_give",
            site=site,
            device=device,
            name=name,
            args=dict(args),
            actor=getpass.getuser() if actor is None else actor,
            expires_s=within_s,
        )
        return cast(Row, told)

    def confirm(self, command: str, actor: str | None, within_s: float) -> Row:
        name = getpass.getuser() if actor is None else actor
        told = call_once(
            self._path, "command_confirm", command=command, actor=name, expires_s=within_s
        )
        return cast(Row, told)

    def command(self, command: str) -> Row:
        return cast(Row, call_once(self._path, "command", command=command))

    def commands(self, limit: int) -> list[Row]:
        return cast(list[Row], call_once(self._path, "commands", limit=limit))

    def push_config(
        self, gateway: str, toml: str, actor: str | None, version: int | None, expires_s: float
    ) -> Row:
        told = call_once(
            self._path,
            "config_push",
            gateway=gateway,
            toml=toml,
            actor=getpass.getuser() if actor is None else actor,
            version=version,
            expires_s=expires_s,
        )
        return cast(Row, told)

    def configs(self, gateway: str, limit: int) -> list[Row]:
        return cast(list[Row], call_once(self._path, "configs", gateway=gateway, limit=limit))

    def config(self, gateway: str, version: int) -> Row:
        return cast(Row, call_once(self._path, "config", gateway=gateway, version=version))

    def push_model(
        self,
        gateway: str,
        toml: str,
        files: Mapping[str, bytes],
        actor: str | None,
        expires_s: float,
    ) -> Row:
        told = call_once(
            self._path,
            "model_push",
            gateway=gateway,
            toml=toml,
            files=dict(files),
            actor=getpass.getuser() if actor is None else actor,
            expires_s=expires_s,
        )
        return cast(Row, told)

    def models(self, gateway: str, limit: int) -> list[Row]:
        return cast(list[Row], call_once(self._path, "models", gateway=gateway, limit=limit))

    def audit(self, gateway: str, from_ns: int | None, to_ns: int | None) -> Row:
        told = call_once(self._path, "audit", gateway=gateway, from_ns=from_ns, to_ns=to_ns)
        return cast(Row, told)

    def completeness(self, from_ns: int | None, to_ns: int | None) -> list[Row]:
        told = call_once(self._path, "completeness", from_ns=from_ns, to_ns=to_ns)
        return cast(list[Row], told)

    def counters(self) -> Row:
        return cast(Row, call_once(self._path, "counters"))

    def permits(self, live: bool, limit: int) -> list[Row]:
        return cast(list[Row], call_once(self._path, "permits", live=live, limit=limit))

    def permit(self, permit: str) -> Row:
        return cast(Row, call_once(self._path, "permit", permit=permit))

    def permit_journal(self, permit: str) -> list[Row]:
        return cast(list[Row], call_once(self._path, "permit_journal", permit=permit))

    def permit_export(self, permit: str) -> bytes:
        return cast(bytes, call_once(self._path, "permit_export", permit=permit))

    def lock_orders(self) -> Row:
        return cast(Row, call_once(self._path, "lock_orders"))

    def key_changes(self) -> list[Row]:
        return cast(list[Row], call_once(self._path, "key_changes"))


class HttpPlace:
    """By the HTTP API; the actor is whoever the token belongs to."""

    def __init__(self, url: str, token: str) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise UsageError(f"{url!r} is no http or https address", hint="--url http://HOST:PORT")
        self._url, self._token = url.rstrip("/"), token

    def alarms(self, *, active: bool, limit: int) -> list[Row]:
        told = self._call("GET", f"/api/v1/alarms?active={str(active).lower()}&limit={limit}")
        return cast(list[Row], told)

    def act(self, verb: str, alarm: str, actor: str | None, why: str) -> Row:
        _nobody_else(actor)
        path = f"/api/v1/alarms/{quote(alarm, safe='')}/{verb}"
        return cast(Row, self._call("POST", path, {"note": why}))

    def journal(self, alarm: str) -> list[Row]:
        return cast(list[Row], self._call("GET", f"/api/v1/alarms/{quote(alarm, safe='')}/journal"))

    def devices(self) -> list[Row]:
        return cast(list[Row], self._call("GET", "/api/v1/devices"))

    def give(
        self,
        site: str,
        device: str,
        name: str,
        args: Mapping[str, str],
        actor: str | None,
        within_s: float,
    ) -> Row:
        _nobody_else(actor)
        path = f"/api/v1/devices/{quote(site, safe='')}/{quote(device, safe='')}/commands"
        body: Row = {"name": name, "args": dict(args), "expires_s": within_s}
        return cast(Row, self._call("POST", path, body))

    def confirm(self, command: str, actor: str | None, within_s: float) -> Row:
        _nobody_else(actor)
        path = f"/api/v1/commands/{quote(command, safe='')}/confirm"
        return cast(Row, self._call("POST", path, {"expires_s": within_s}))

    def command(self, command: str) -> Row:
        return cast(Row, self._call("GET", f"/api/v1/commands/{quote(command, safe='')}"))

    def commands(self, limit: int) -> list[Row]:
        return cast(list[Row], self._call("GET", f"/api/v1/commands?limit={limit}"))

    def push_config(
        self, gateway: str, toml: str, actor: str | None, version: int | None, expires_s: float
    ) -> Row:
        if actor is not None:
            raise UsageError("--actor goes with --data", hint="the token says who you are")
        path = f"/api/v1/gateways/{quote(gateway, safe='')}/configs"
        if not toml:
            return cast(Row, self._call("POST", f"{path}/withdraw", {"expires_s": expires_s}))
        body: Row = {"toml": toml, "version": version, "expires_s": expires_s}
        return cast(Row, self._call("POST", path, body))

    def configs(self, gateway: str, limit: int) -> list[Row]:
        path = f"/api/v1/gateways/{quote(gateway, safe='')}/configs?limit={limit}"
        return cast(list[Row], self._call("GET", path))

    def config(self, gateway: str, version: int) -> Row:
        path = f"/api/v1/gateways/{quote(gateway, safe='')}/configs/{version}"
        return cast(Row, self._call("GET", path))

    def push_model(
        self,
        gateway: str,
        toml: str,
        files: Mapping[str, bytes],
        actor: str | None,
        expires_s: float,
    ) -> Row:
        _nobody_else(actor)
        packed = {name: base64.b64encode(data).decode() for name, data in files.items()}
        body: Row = {"toml": toml, "files": packed, "expires_s": expires_s}
        return cast(
            Row, self._call("POST", f"/api/v1/gateways/{quote(gateway, safe='')}/models", body)
        )

    def models(self, gateway: str, limit: int) -> list[Row]:
        path = f"/api/v1/gateways/{quote(gateway, safe='')}/models?limit={limit}"
        return cast(list[Row], self._call("GET", path))

    def audit(self, gateway: str, from_ns: int | None, to_ns: int | None) -> Row:
        path = f"/api/v1/gateways/{quote(gateway, safe='')}/completeness"
        return cast(Row, self._call("GET", path + _span(from_ns, to_ns)))

    def completeness(self, from_ns: int | None, to_ns: int | None) -> list[Row]:
        path = "/api/v1/completeness" + _span(from_ns, to_ns)
        return cast(list[Row], self._call("GET", path))

    def counters(self) -> Row:
        return cast(Row, self._call("GET", "/api/v1/counters"))

    def permits(self, live: bool, limit: int) -> list[Row]:
        path = f"/api/v1/permits?live={str(live).lower()}&limit={limit}"
        return cast(list[Row], self._call("GET", path))

    def permit(self, permit: str) -> Row:
        return cast(Row, self._call("GET", f"/api/v1/permits/{quote(permit, safe='')}"))

    def permit_journal(self, permit: str) -> list[Row]:
        path = f"/api/v1/permits/{quote(permit, safe='')}/journal"
        return cast(list[Row], self._call("GET", path))

    def permit_export(self, permit: str) -> bytes:
        return self._bytes("GET", f"/api/v1/permits/{quote(permit, safe='')}/export")

    def lock_orders(self) -> Row:
        return cast(Row, self._call("GET", "/api/v1/lock-orders"))

    def key_changes(self) -> list[Row]:
        return cast(list[Row], self._call("GET", "/api/v1/key-changes"))

    def _call(self, method: str, path: str, body: Row | None = None) -> object:
        try:
            return json.loads(self._bytes(method, path, body))
        except ValueError as exc:
            raise SpineError(
                SpineReason.GONE, f"no cloud answers at {self._url}: {exc}", hint="is it running?"
            ) from exc

    def _bytes(self, method: str, path: str, body: Row | None = None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as answer:  # noqa: S310
                return bytes(answer.read())
        except urllib.error.HTTPError as exc:
            raise _refused(exc) from exc
        except OSError as exc:
            raise SpineError(
                SpineReason.GONE, f"no cloud answers at {self._url}: {exc}", hint="is it running?"
            ) from exc


def _span(from_ns: int | None, to_ns: int | None) -> str:
    told = {"from_ns": from_ns, "to_ns": to_ns}
    return "?" + urlencode({name: ns for name, ns in told.items() if ns is not None})


def _nobody_else(actor: str | None) -> None:
    if actor is not None:
        raise UsageError("--actor goes with --data", hint="the token says who you are")


class RemoteError(TocsinError):
    """The API refused; message and hint are its own."""

    code = "api.refused"
    exit_code = 8


def _refused(exc: urllib.error.HTTPError) -> TocsinError:
    try:
        told = json.loads(exc.read())["error"]
        return RemoteError(str(told["message"]), hint=str(told.get("hint", "")))
    except (ValueError, KeyError, TypeError):
        return RemoteError(f"HTTP {exc.code}: {exc.reason}")
