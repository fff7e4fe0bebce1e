"""One POST of line protocol to whichever InfluxDB it is: /api/v2/write by influxdb-client, /write for 1.x."""

from __future__ import annotations

import gzip
import traceback
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

import urllib3
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS

from cloud.stores.influx.answers import Answer, read_answer
from tocsin.errors import StoreUnavailableError

Api = Literal["auto", "v1", "v2", "v3"]


@dataclass(frozen=True, slots=True)
class InfluxOptions:
    """Where to write. `bucket` is the database on 1.x and 3.x; `api` "auto" asks the server's version."""

    url: str
    bucket: str = "tocsin"
    org: str = ""
    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    api: Api = "auto"
    gzip: bool = True
    timeout_s: float = 10.0
    ca: str | None = None


class Transport:
    """Holds the connection; used by one thread."""

    def __init__(self, options: InfluxOptions) -> None:
        self.options = options
        self._pool = urllib3.PoolManager(
            timeout=options.timeout_s, retries=False, ca_certs=options.ca, maxsize=1
        )
        self._client: Any = None
        self._api: Api = options.api

    def post(self, body: bytes) -> Answer:
        """Send lines with stamps in nanoseconds.

        Raises:
            StoreUnavailableError: no answer.
        """
        if self._api == "auto":
            self._api = "v1" if self._is_before_1_8() else "v2"
        try:
            return self._post_v1(body) if self._api == "v1" else self._post_v2(body)
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise self._silent(exc) from exc

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
        self._pool.clear()

    def _silent(self, exc: Exception) -> StoreUnavailableError:
        _let_go(exc)
        return StoreUnavailableError(
            f"InfluxDB at {self.options.url} does not answer: {exc}",
            hint="is it running, is the url right?",
        )

    def _is_before_1_8(self) -> bool:
        try:
            response = self._pool.request("GET", f"{self.options.url.rstrip('/')}/ping")
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise self._silent(exc) from exc
        version = response.headers.get("X-Influxdb-Version", "").lstrip("v")
        return version.startswith(("0.", *(f"1.{minor}." for minor in range(8))))

    def _post_v1(self, body: bytes) -> Answer:
        fields = {"db": self.options.bucket, "precision": "ns"}
        if "/" in self.options.bucket:
            fields["db"], fields["rp"] = self.options.bucket.split("/", 1)
        if self.options.username:
            fields |= {"u": self.options.username, "p": self.options.password}
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self.options.gzip:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1)
        response = self._pool.request(
            "POST",
            f"{self.options.url.rstrip('/')}/write?{urlencode(fields)}",
            body=body,
            headers=headers,
        )
        return read_answer(response.status, response.data, response.headers.get("Retry-After"))

    def _post_v2(self, body: bytes) -> Answer:
        if self._client is None:
            token = self.options.token
            if not token and self.options.username:
                token = f"{self.options.username}:{self.options.password}"
            self._client = InfluxDBClient(
                url=self.options.url,
                token=token or "none",
                org=self.options.org or "-",
                timeout=int(self.options.timeout_s * 1000),
                enable_gzip=self.options.gzip,
                ssl_ca_cert=self.options.ca,
                retries=False,
            )
            self._writer = self._client.write_api(write_options=SYNCHRONOUS)
        try:
            self._writer.write(
                bucket=self.options.bucket,
                org=self.options.org or "-",
                record=body,
                write_precision="ns",
            )
        except InfluxDBError as exc:
            if exc.response is None:
                raise self._silent(exc) from exc
            return read_answer(int(exc.response.status), exc.response.data, exc.retry_after)
        return Answer(204)


def _let_go(exc: BaseException | None) -> None:
    """Free the body at once: the frames of urllib3 hold the error that holds them, until a full search for garbage."""
    while exc is not None:
        traceback.clear_frames(exc.__traceback__)
        exc = exc.__context__
