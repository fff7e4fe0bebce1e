"""From gas to a siren: permits in force at one gateway, each with a gas head and a siren's coil of its own, and no cloud but their message."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from tocsin.broker import Account, Kind
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Event
from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError
from tocsin.lab.control import asked, started
from tocsin.lab.delay import Delay, delay
from tocsin.lab.ledger import Mark, read_ledgers
from tocsin.lab.permit_in_force import PermitMaker
from tocsin.permits.concentration import convert
from tocsin.permits.facts import Moved
from tocsin.permits.messages import UP, PermitUp
from tocsin.permits.names import Cause, State
from tocsin.permits.rule_rows import Rules, Topic
from tocsin.testing.brokers import INGESTER, throwaway_broker
from tocsin.testing.ingester import TestIngester

POLL_S, REFRESH_S = 0.5, 0.05
RELEASED_PPM, COILS = 40.0, 8
ALLOWED_MS = 2000.0
APART_S = (0.3, 1.0)
LAST_S = 15.0


class BreachFigure(msgspec.Struct, frozen=True):
    """Milliseconds from the gas head's register crossing the rule's limit; the wait for the next poll is in all of them.

    `suspended_ms`: until the entry in the gateway's permit journal. `siren_ms`: until the coil is written. `told_ms`: until
    the broker has the gateway's word for the cloud. `wrong`: suspended for another reason, or a siren that sounded before its gas.
    """

    breaches: int
    missing: int
    wrong: int
    suspended_ms: Delay
    siren_ms: Delay
    told_ms: Delay
    allowed_ms: float
    within: bool


def measure_breaches(folder: Path, breaches: int, broker: Kind) -> BreachFigure:
    """So many spaces; gas comes to one after the other, at moments that keep no step with the polls.

    Raises:
        LabError: a part did not start, or a permit did not come into force.
    """
    folder.mkdir()
    password, key = secrets.token_hex(16), secrets.token_hex(32)
    (folder / "password.secret").write_text(password, "utf-8")
    (folder / "command_key.secret").write_text(key, "utf-8")
    maker = PermitMaker(site.SITE, site.GATEWAY)
    with (
        throwaway_broker(broker, accounts=[Account(site.GATEWAY, password)]) as uplink,
        TestIngester(
            uplink.port, INGESTER.user, INGESTER.password, site=site.SITE, gateway=site.GATEWAY
        ) as cloud,
        Children(folder / "logs") as children,
    ):
        heads = _heads(children, folder, breaches, limit_ppm(maker.rules))
        relays = _relays(children, folder, breaches)
        tables = _modbus(
            "heads", heads, [(f"gas-{n}", n, site.HEAD) for n in range(1, breaches + 1)]
        )
        tables += _modbus("relays", relays, [(d, u, "relay-8") for d, u in _modules(breaches)])
        spaces = "".join(map(_space, range(1, breaches + 1)))
        text = site.gateway_head(uplink.port) + tables + "[permits]\n" + spaces
        (folder / "gateway.toml").write_text(text, "utf-8")

        def is_ready(socket: Path) -> bool:
            shown = {value["device"] for value in asked(socket, "values")}
            return bool(asked(socket, "status")["connected"]) and len(shown) >= breaches

        edge, socket = started(children, folder, {}, is_ready)
        for n in range(1, breaches + 1):
            cloud.command(maker.down(f"P{n}", f"space-{n}", f"gas-{n}", key.encode()), "permit")
        _until(
            lambda: _states(socket).count(State.ACTIVE) == breaches,
            edge,
            "every permit to be active",
        )
        stdin = heads.process.stdin
        assert stdin is not None  # noqa: S101 - we asked for a pipe
        for n in range(1, breaches + 1):
            stdin.write(f"set {n} h2s {RELEASED_PPM:g}\n".encode())
            stdin.flush()
            time.sleep(random.uniform(*APART_S))
        deadline_s = time.monotonic() + LAST_S
        while len(_suspensions(cloud)) < breaches and time.monotonic() < deadline_s:
            children.check()
            time.sleep(0.05)
        time.sleep(1.0)  # for the last siren, which the disk does not wait for
        told = _suspensions(cloud)
    marks = read_ledgers([folder / "heads.ndjson"]).marks
    return _figure(breaches, marks, _writes(folder / "relays.ndjson"), told)


def limit_ppm(rules: Rules) -> float:
    """Hydrogen sulfide at which the rules stop the work. Raises LabError for a pack without one."""
    for row in rules.of(Topic.ALARM, "h2s"):
        found = convert("h2s", row.high or 0.0, row.unit, "[ppm]", rules.reference_c)
        if found is not None and row.high:
            return found.value
    raise LabError(f"{rules.name} has no alarm limit for h2s")


class _Told(msgspec.Struct, frozen=True):
    """A suspension as the gateway's message has it."""

    at_ns: int
    arrived_ns: int
    cause: Cause | None


def _suspensions(cloud: TestIngester) -> dict[str, _Told]:
    found: dict[str, _Told] = {}
    for arrived_ns, (topic, payload) in zip(
        list(cloud.arrived_ns), list(cloud.messages), strict=False
    ):
        if f"/up/{topics.EVENT}" not in topic:
            continue
        event = decode_body(decode_header(payload), payload, Event)
        if event.kind != UP:
            continue
        up = msgspec.convert(event.data, PermitUp)
        for entry in up.entries:
            if isinstance(entry.fact, Moved) and entry.fact.target is State.SUSPENDED:
                found.setdefault(up.permit, _Told(entry.at_ns, arrived_ns, entry.fact.cause))
    return found


def _figure(
    breaches: int, marks: list[Mark], on_ns: dict[int, int], told: dict[str, _Told]
) -> BreachFigure:
    crossed: dict[int, int] = {}
    for mark in marks:
        if mark.mark == "limit-crossed":
            crossed.setdefault(int(mark.device.rpartition("-")[2]), mark.t_ns)
    whole = [n for n in sorted(crossed) if f"P{n}" in told and n in on_ns]
    wrong = sum(told[f"P{n}"].cause is not Cause.GAS or on_ns[n] < crossed[n] for n in whole)
    siren = delay([(on_ns[n] - crossed[n]) / 1e6 for n in whole])
    return BreachFigure(
        len(whole),
        breaches - len(whole),
        wrong,
        delay([(told[f"P{n}"].at_ns - crossed[n]) / 1e6 for n in whole]),
        siren,
        delay([(told[f"P{n}"].arrived_ns - crossed[n]) / 1e6 for n in whole]),
        ALLOWED_MS,
        len(whole) == breaches and siren.most is not None and siren.most < ALLOWED_MS,
    )


def _writes(ledger: Path) -> dict[int, int]:
    """Number of the space -> when its coil was first switched on."""
    found: dict[int, int] = {}
    for line in ledger.read_bytes().splitlines():
        told = msgspec.json.decode(line)
        if told.get("mark") == "write" and told["values"] == "1":
            module = int(told["device"].rpartition("-")[2])
            found.setdefault((module - 1) * COILS + int(told["address"]) + 1, told["t_ns"])
    return found


def _states(socket: Path) -> list[str]:
    return [str(permit["state"]) for permit in asked(socket, "permits")]


def _until(condition: Callable[[], bool], edge: Child, what: str) -> None:
    deadline_s = time.monotonic() + 60.0
    while not condition():
        if time.monotonic() > deadline_s:
            raise LabError(f"waited in vain for {what}", hint=edge.tail())
        time.sleep(0.05)


def _heads(children: Children, folder: Path, count: int, limit: float) -> Child:
    config = {
        "tcp": "127.0.0.1:0",
        "ledger": str(folder / "heads.ndjson"),
        "refresh_s": REFRESH_S,
        "units": [
            {
                "unit": n, "device": f"gas-{n}", "model": "gas-head", "profile": site.HEAD,
                "limits": {"h2s": limit},
            }
            for n in range(1, count + 1)
        ],
    }  # fmt: skip
    return _device(children, "heads", config)


def _relays(children: Children, folder: Path, count: int) -> Child:
    units = [
        {"unit": u, "device": d, "model": "actuator", "profile": "relay-8"}
        for d, u in _modules(count)
    ]
    config = {"tcp": "127.0.0.1:0", "ledger": str(folder / "relays.ndjson"), "units": units}
    return _device(children, "relays", config)


def _device(children: Children, name: str, config: Mapping[str, object]) -> Child:
    text = msgspec.json.encode(config).decode()
    return children.start(name, "firmware_bridges.modbus.device", "--config", text, "--stdin-lease")


def _modules(count: int) -> list[tuple[str, int]]:
    return [(f"relay-{n}", n) for n in range(1, (count - 1) // COILS + 2)]


def _modbus(name: str, child: Child, devices: list[tuple[str, int, str]]) -> str:
    host, _, port = str(child.ready()["port"]).rpartition(":")
    return (
        f'[[drivers]]\ntype = "modbus"\nname = "{name}"\ntcp = {{ host = "{host}", port = {port} }}\n'
        "timeout_s = 3.0\n"
    ) + "".join(
        f'[[drivers.devices]]\nid = "{device}"\nunit_id = {unit}\nprofile = "{profile}"\n'
        f"period_s = {POLL_S}\n"
        for device, unit, profile in devices
    )


def _space(n: int) -> str:
    module, coil = divmod(n - 1, COILS)
    return (
        f'[[spaces]]\nid = "space-{n}"\ngas = ["gas-{n}"]\nsiren = {{ device = "relay-{module + 1}", '
        f'command = "relay-{coil + 1}", on = {{ state = 1 }}, off = {{ state = 0 }} }}\n'
    )
