"""Nothing talks or listens in clear off this machine, unless the configuration says so."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field

Clear = Annotated[
    bool,
    Field(
        description="Allow an address beyond this machine without TLS: anyone on the way can read and change what is said."
    ),
]


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine itself: `localhost`, 127.0.0.0/8 or ::1 (RFC 6761, 6.3; RFC 6890)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
