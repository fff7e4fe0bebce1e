"""Addresses of cameras: with their account for a library, and as they may be shown."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from tocsin.config.types import HIDDEN

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


class Address:
    """A URL and an account. Shows itself without password; a query may hold one too and is hidden whole."""

    def __init__(self, url: str, username: str = "", password: str = "") -> None:
        parts = urlsplit(url)
        self.url, self._parts = url, parts
        self.scheme = parts.scheme
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS.get(parts.scheme, 0)
        self.username, self.password = username, password

    def with_account(self) -> str:
        """For libraries that take the account from the URL."""
        if not self.username:
            return self.url
        account = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        return urlunsplit(self._parts._replace(netloc=account + self._parts.netloc))

    def __str__(self) -> str:
        query = HIDDEN if self._parts.query else ""
        place = self._parts.netloc.rpartition("@")[2]
        return urlunsplit((self.scheme, place, self._parts.path, query, ""))

    __repr__ = __str__
