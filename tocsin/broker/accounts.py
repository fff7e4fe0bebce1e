"""Who may log in at our broker, what each may touch, and how passwords are kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from typing import Literal

from tocsin.contract.topics import BROKER_DROPPED, ROOT

Role = Literal["gateway", "ingester", "reader", "field"]
Access = Literal["read", "write"]

ITERATIONS = 10_000  # the broker's only thread pays this at each connect: about 8 ms
_SALT_BYTES = 12
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Account:
    """One login. A gateway's user name is its id: the topics it may touch are built from it."""

    user: str
    password: str = field(repr=False)
    role: Role = "gateway"

    def __post_init__(self) -> None:
        if not _USER.fullmatch(self.user):
            raise ValueError(f"{self.user!r} cannot be a broker user: 1-64 of A-Z a-z 0-9 . _ -")


def hash_password(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """`$7$iterations$salt$hash`: PBKDF2-HMAC-SHA-512 (RFC 8018) as mosquitto 2 stores it."""
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def verify_password(password: str, stored: str) -> bool:
    """Whether `password` fits what `hash_password` made; constant time in the comparison."""
    _, _, iterations, salt, _ = stored.split("$")
    again = hash_password(password, base64.b64decode(salt), int(iterations))
    return hmac.compare_digest(again, stored)


def rules(user: str, role: Role) -> list[tuple[Access, str]]:
    """The topic filters an account may read and write; nothing else is allowed."""
    if role == "gateway":
        own = f"{ROOT}/+/+/{user}"
        return [("write", f"{own}/up/#"), ("write", f"{own}/state"), ("read", f"{own}/down/#")]
    if role == "ingester":
        return [("read", f"{ROOT}/#"), ("write", f"{ROOT}/#"), ("read", BROKER_DROPPED)]
    if role == "field":  # devices that publish under topics of their own
        return [("read", "#"), ("write", "#")]
    return [("read", f"{ROOT}/#")]


def covers(rule: str, topic: str) -> bool:
    """Whether every topic that `topic` (a name or a filter) means lies within the filter `rule` (MQTT 3.1.1, 4.7)."""
    allowed, asked = rule.split("/"), topic.split("/")
    for i, level in enumerate(allowed):
        if level == "#":
            return True
        if i >= len(asked) or asked[i] == "#":
            return False
        if level not in ("+", asked[i]):
            return False
    return len(allowed) == len(asked)
