"""A virtual OPC UA server, on asyncua's own: `python -m firmware_bridges.opcua.device --listen 127.0.0.1:0`.

A press with five variables in the namespace `urn:tocsin:press`, all writable by any client: `press.pressure` (Double, bar,
rising by a tenth each step), `press.strokes` (Int64), `press.running` (Boolean), `press.recipe` (String), `press.sensor`
(Double, always with the status BadSensorFailure).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from asyncua import Node, Server, ua
from asyncua.crypto.permission_rules import SimpleRoleRuleset
from asyncua.server.user_managers import User, UserManager, UserRole

NAMESPACE = "urn:tocsin:press"


class _OneUser(UserManager):  # type: ignore[misc]
    """Takes one name and password, and no anonymous client."""

    def __init__(self, name: str, password: str) -> None:
        self._expected = (name, password)

    def get_user(
        self,
        iserver: object,
        username: str | None = None,
        password: str | bytes | None = None,
        certificate: object = None,
    ) -> User | None:
        given = password.decode() if isinstance(password, bytes) else password
        if (username, given) != self._expected:
            return None
        return User(role=UserRole.Admin, name=username)


async def serve(given: argparse.Namespace) -> None:
    """Opens the port, says so, and counts until told to end."""
    users = _OneUser(*given.user.split(":", 1)) if given.user else None
    server = Server(user_manager=users)
    await server.init()
    server.set_endpoint(f"opc.tcp://{given.listen}/press")
    await server.set_application_uri("urn:tocsin:virtual-press")
    if given.certificate:
        await server.load_certificate(str(given.certificate))
        await server.load_private_key(given.key)
        policies = [
            ua.SecurityPolicyType.Basic256Sha256_Sign,
            ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
        ]
        server.set_security_policy(policies, permission_ruleset=SimpleRoleRuleset())
    else:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    nodes = await _press(server)
    stopped = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stopped.set)
    async with server:
        socket = server.bserver._server.sockets[0]  # noqa: SLF001 - port 0: only the socket knows
        host, port = socket.getsockname()[:2]
        ready = {"ready": True, "device": "press", "port": f"{host}:{port}"}
        sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
        sys.stdout.flush()
        if given.stdin_lease:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _leased, stopped)
        await _count(nodes, given.step_s, stopped)


def _leased(stopped: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        stopped.set()


async def _press(server: Server) -> dict[str, Node]:
    index = await server.register_namespace(NAMESPACE)
    press = await server.nodes.objects.add_object(ua.NodeId("press", index), f"{index}:press")
    first: dict[str, tuple[object, ua.VariantType]] = {
        "pressure": (100.0, ua.VariantType.Double),
        "strokes": (0, ua.VariantType.Int64),
        "running": (True, ua.VariantType.Boolean),
        "recipe": ("recipe A", ua.VariantType.String),
        "sensor": (0.0, ua.VariantType.Double),
    }
    nodes = {}
    for name, (value, kind) in first.items():
        node = await press.add_variable(
            ua.NodeId(f"press.{name}", index), f"{index}:{name}", value, kind
        )
        await node.set_writable()
        nodes[name] = node
    await nodes["sensor"].write_value(
        ua.DataValue(
            Value=ua.Variant(0.0, ua.VariantType.Double),
            StatusCode=ua.StatusCode(ua.StatusCodes.BadSensorFailure),
            SourceTimestamp=datetime.now(UTC),
        )
    )
    return nodes


async def _count(nodes: dict[str, Node], step_s: float, stopped: asyncio.Event) -> None:
    """Pressure and strokes under one source time, step by step."""
    steps = 0
    while not stopped.is_set():
        steps += 1
        now = datetime.now(UTC)
        for name, value in (
            ("pressure", ua.Variant(100.0 + steps / 10, ua.VariantType.Double)),
            ("strokes", ua.Variant(steps, ua.VariantType.Int64)),
        ):
            await nodes[name].write_value(ua.DataValue(Value=value, SourceTimestamp=now))
        try:
            async with asyncio.timeout(step_s or None):
                await stopped.wait()
        except TimeoutError:
            continue


def main() -> None:
    """Runs one server process."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridges.opcua.device", description=__doc__
    )
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT")
    parser.add_argument("--step-s", type=float, default=0.1, help="0: values stand still")
    parser.add_argument(
        "--certificate", type=Path, help="PEM or DER: Basic256Sha256 alone is spoken"
    )
    parser.add_argument("--key", type=Path, help="its private key")
    parser.add_argument("--user", default="", help="NAME:PASSWORD that a client must give")
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input closes")
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
