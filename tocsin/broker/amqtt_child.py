"""The amqtt broker as a process of its own: `python -m tocsin.broker.amqtt_child FILE`.

Pure Python, MQTT 3.1.1 only, state in memory only. The door below is its whole access control.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from tocsin.broker.accounts import Access, covers, rules, verify_password

_USER = "tocsin_user"  # attribute of a session: the name that was authenticated


class Door(BaseAuthPlugin, BaseTopicPlugin):  # type: ignore[misc]
    """Passwords and topic access by role.

    amqtt overwrites the user name of a live session before it checks the password of a newcomer with the same client
    id, and sends wills without asking: so the name counts that was authenticated, and a will is checked at log-in.
    """

    @dataclass
    class Config:
        """Accounts as written by `ChildBroker`."""

        accounts: list[dict[str, Any]] = field(default_factory=list)

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._accounts = {a["user"]: a for a in self.config.accounts}

    async def authenticate(self, *, session: Session) -> bool:
        """Whether the password fits and the will is within the account's rights."""
        account = self._accounts.get(session.username or "")
        if account is None or not verify_password(session.password or "", account["hash"]):
            return False
        user: str = account["user"]
        if session.will_flag and not self._allows(user, session.will_topic or "", "write"):
            return False
        setattr(session, _USER, user)
        return True

    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool:
        """Whether the session's account may do `action` on `topic`."""
        user: str | None = getattr(session, _USER, None)
        access: Access = "write" if action == Action.PUBLISH else "read"
        return user is not None and self._allows(user, topic or "", access)

    def _allows(self, user: str, topic: str, access: Access) -> bool:
        role = self._accounts[user]["role"]
        return any(a == access and covers(flt, topic) for a, flt in rules(user, role))


async def serve(config: dict[str, Any]) -> None:
    """Serve until cancelled."""
    listener: dict[str, Any] = {"type": "tcp", "bind": f"{config['host']}:{config['port']}"}
    if config["tls"]:
        certificate, key, client_ca = config["tls"]
        listener |= {"ssl": True, "certfile": certificate, "keyfile": key}
        if client_ca:
            listener["cafile"] = client_ca
            _require_client_certificates()
    broker = Broker(
        {
            "listeners": {"default": listener},
            "plugins": {"tocsin.broker.amqtt_child.Door": {"accounts": config["accounts"]}},
        }
    )
    await broker.start()
    await asyncio.Event().wait()


def _require_client_certificates() -> None:
    """amqtt asks for client certificates but does not insist."""
    make = Broker._create_ssl_context  # noqa: SLF001

    def insist(listener: Any) -> ssl.SSLContext:
        context: ssl.SSLContext = make(listener)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    Broker._create_ssl_context = staticmethod(insist)  # noqa: SLF001


def main() -> None:
    """Read the file named on the command line and serve."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text("utf-8"))))


if __name__ == "__main__":
    main()
