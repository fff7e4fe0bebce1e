"""The demo as one more user of the cloud's HTTP API: standard library only, one thread for the event stream."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

import msgspec

from tocsin.lab.children import LabError


class ConsoleClient:
    """Requests with a bearer token; every one has a time-out."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, timeout_s: float = 5.0) -> Any:
        """The decoded JSON of a GET.

        Raises:
            LabError: no answer, or not a success.
        """
        return self._send(
            urllib.request.Request(self.url + path, headers=self._headers), path, timeout_s
        )

    def put(self, path: str, body: object, timeout_s: float = 5.0) -> Any:
        """The decoded JSON of a PUT.

        Raises:
            LabError: no answer, or not a success.
        """
        headers = {**self._headers, "Content-Type": "application/json"}
        request = urllib.request.Request(
            self.url + path, msgspec.json.encode(body), headers, method="PUT"
        )
        return self._send(request, path, timeout_s)

    def post(self, path: str, body: object, timeout_s: float = 5.0) -> Any:
        """The decoded JSON of a POST.

        Raises:
            LabError: no answer, or not a success.
        """
        headers = {**self._headers, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, msgspec.json.encode(body), headers)
        return self._send(request, path, timeout_s)

    def get_bytes(self, path: str, timeout_s: float = 5.0) -> bytes:
        """What a GET answers, as it is.

        Raises:
            LabError: no answer, or not a success.
        """
        request = urllib.request.Request(self.url + path, headers=self._headers)
        data: bytes = self._send(request, path, timeout_s, decode=bytes)
        return data

    def query(self, sql: str, timeout_s: float = 120.0) -> list[dict[str, Any]]:
        """The rows of one SELECT, by InfluxDB 3's door.

        Raises:
            LabError: no answer, or not a success.
        """
        body = msgspec.json.encode({"db": "tocsin", "q": sql, "format": "json"})
        headers = {**self._headers, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + "/api/v3/query_sql", body, headers)
        rows: list[dict[str, Any]] = self._send(request, "query", timeout_s)
        return rows

    def _send(
        self,
        request: urllib.request.Request,
        path: str,
        timeout_s: float,
        decode: Callable[[bytes], Any] = msgspec.json.decode,
    ) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return decode(answer.read())
        except urllib.error.HTTPError as exc:
            raise LabError(f"{path}: HTTP {exc.code}: {exc.read(300)!r}") from exc
        except (OSError, HTTPException) as exc:
            raise LabError(f"{path}: {exc}") from exc

    def is_up(self) -> bool:
        """Whether the console answers."""
        with contextlib.suppress(LabError):
            self.get("/healthz", 1.0)
            return True
        return False


class AlarmWatch:
    """Listens to `/api/v1/events` as a page does, and notes when each alarm change arrived (wall clock, ns)."""

    def __init__(self, client: ConsoleClient) -> None:
        self.seen: list[tuple[int, dict[str, Any]]] = []
        self._client = client
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarm-watch", daemon=True)
        self.connected = threading.Event()
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            request = urllib.request.Request(
                self._client.url + "/api/v1/events",
                headers=self._client._headers,  # noqa: SLF001
            )
            with (
                contextlib.suppress(OSError, HTTPException),
                urllib.request.urlopen(request, timeout=60.0) as stream,
            ):
                self.connected.set()
                self._read(stream)
            self._stopped.wait(0.5)

    def _read(self, stream: Any) -> None:
        event, data = "", b""
        for line in stream:
            if self._stopped.is_set():
                return
            if line.startswith(b"event:"):
                event = line[6:].strip().decode()
            elif line.startswith(b"data:"):
                data += line[5:].strip()
            elif line == b"\n" and data:
                self._take(event, data)
                event, data = "", b""

    def _take(self, event: str, data: bytes) -> None:
        now_ns = time.time_ns()
        with contextlib.suppress(msgspec.DecodeError):
            body = msgspec.json.decode(data)
            if isinstance(body, dict) and "alarm" in (event, body.get("kind")):
                self.seen.append((now_ns, body))

    def stop(self) -> None:
        """Stop listening; does not wait for the last read."""
        self._stopped.set()
