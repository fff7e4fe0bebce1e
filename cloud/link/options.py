"""Where the broker is, and who we are to it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tocsin.contract import topics
from tocsin.errors import ConfigError, ConfigProblem

Protocol = Literal["auto", "5", "3.1.1"]


@dataclass(frozen=True)
class LinkOptions:
    """Where the broker is and who we are."""

    host: str
    port: int
    client_id: str
    username: str
    password: str = field(repr=False)
    keepalive_s: int = 15
    window_messages: int = 8192
    protocol: Protocol = "auto"
    filters: Sequence[str] = tuple(topics.cloud_filters())
    share: bool = False
    early_acks: bool = True  # see `Session.may_wait`; False where nothing but telemetry comes
    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def tls_context(self) -> ssl.SSLContext | None:
        """A context that verifies; None for a plain connection.

        Raises:
            ConfigError: a file is missing or no PEM.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca and str(self.ca))
            if self.cert is not None and self.key is not None:
                context.load_cert_chain(self.cert, self.key)
        except OSError as exc:
            problem = ConfigProblem(
                file=str(self.ca or self.cert),
                line=0,
                key="broker.tls",
                value="",
                allowed=f"readable PEM files: {exc}",
            )
            raise ConfigError([problem]) from exc
        return context
