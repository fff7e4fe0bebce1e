"""The broker by a real session: reached, certificate right and not about to end, let in, rights as they should be."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.doctor.findings import Finding, fail, ok, warn
from edge.options import UplinkOptions
from edge.uplink.session import uplink_tls
from tocsin.contract import topics
from tocsin.errors import UplinkError

WARN_DAYS = 30
_STEP_S = 5.0
_RENEW = "tocsin provision renew NAME, where the authority is"


def look(options: UplinkOptions, site: str, gateway: str, now: datetime) -> Iterator[Finding]:
    """Never takes the agent's place: the session has a client id of its own, and publishes nothing."""
    where = f"{options.host}:{options.port}"
    yield from _files(options, now)
    try:
        context = uplink_tls(options.tls)
    except UplinkError as exc:
        yield fail("broker", exc.message, exc.hint)
        return
    try:
        with socket.create_connection((options.host, options.port), _STEP_S) as link:
            if context is not None:
                yield from _certificate(context, link, options.host, now)
    except socket.gaierror:
        yield fail("broker", f"no address is known for {options.host}", f"getent hosts {options.host}; cat /etc/resolv.conf")  # fmt: skip
        return
    except ssl.SSLCertVerificationError as exc:
        text = f"{where}: its certificate is not believed: {exc.verify_message}"
        yield fail("broker", text, "check uplink.tls.ca, uplink.host, and the clock")
        return
    except TimeoutError:
        yield fail("broker", f"{where}: no answer within {_STEP_S:g} s", f"ping {options.host}; is a firewall between?")  # fmt: skip
        return
    except OSError as exc:
        yield fail("broker", f"{where}: {exc.strerror or exc}", _hint(exc))
        return
    yield from _session(options, site, gateway, context)


def _hint(exc: OSError) -> str:
    if isinstance(exc, (ssl.SSLError, ConnectionResetError)):
        return "does this port speak TLS? check uplink.port and uplink.tls"
    if isinstance(exc, ConnectionRefusedError):
        return "is the broker running there, and is uplink.port right?"
    return "ip route; is the network up?"


def _files(options: UplinkOptions, now: datetime) -> Iterator[Finding]:
    tls = options.tls
    if tls is None:
        return
    named: tuple[tuple[str, Path | None], ...] = (("authority", tls.ca), ("certificate", tls.cert))
    for name, file in named:
        if file is None:
            continue
        try:
            found = _ends(file.read_bytes())
        except (OSError, ValueError) as exc:
            yield fail(name, f"{file}: {exc}", "check uplink.tls")
        else:
            yield _until(name, str(file), found, now)


def _ends(pem: bytes) -> datetime:
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def _certificate(
    context: ssl.SSLContext, link: socket.socket, host: str, now: datetime
) -> Iterator[Finding]:
    with context.wrap_socket(link, server_hostname=host) as secured:
        told = secured.getpeercert() or {}
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(told["notAfter"])), UTC)
    yield _until("broker", "its certificate", ends, now)


def _until(check: str, what: str, ends: datetime, now: datetime) -> Finding:
    left = (ends - now).days
    if ends <= now:
        return fail(check, f"{what} ended on {ends:%Y-%m-%d}", _RENEW)
    if left < WARN_DAYS:
        return warn(check, f"{what} ends in {left} days, on {ends:%Y-%m-%d}", _RENEW)
    return ok(check, f"{what} counts until {ends:%Y-%m-%d}")


class _Probe:
    """One MQTT 3.1.1 session, which every broker speaks."""

    def __init__(
        self, options: UplinkOptions, gateway: str, context: ssl.SSLContext | None
    ) -> None:
        self.refusal = ""
        self.granted: list[bool] = []
        self.answered, self.subscribed = threading.Event(), threading.Event()
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"doctor-{gateway}-{os.getpid()}",
            reconnect_on_failure=False,
        )
        password = options.password.reveal() if options.password else None
        client.username_pw_set(options.username or gateway, password)
        if context is not None:
            client.tls_set_context(context)
        client.connect_timeout = _STEP_S
        client.on_connect = self._connected
        client.on_disconnect = self._gone
        client.on_subscribe = self._heard
        self.client = client

    def _connected(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        self.refusal = str(reason) if reason.is_failure else ""
        self.answered.set()

    def _gone(self, _c: Any, _u: Any, _f: Any, _reason: Any, _p: Any) -> None:
        if not self.answered.is_set():
            self.refusal = "it hung up without an answer"
            self.answered.set()
        self.subscribed.set()

    def _heard(self, _c: Any, _u: Any, _m: Any, reasons: Any, _p: Any) -> None:
        self.granted = [not reason.is_failure for reason in reasons]
        self.subscribed.set()


def _session(
    options: UplinkOptions, site: str, gateway: str, context: ssl.SSLContext | None
) -> Iterator[Finding]:
    where = f"{options.host}:{options.port}"
    probe = _Probe(options, gateway, context)
    began_s = time.monotonic()
    try:
        probe.client.connect(options.host, options.port)
    except OSError as exc:
        yield fail("broker", f"{where}: {exc}", _hint(exc))
        return
    probe.client.loop_start()
    try:
        if not probe.answered.wait(_STEP_S):
            text = f"{where} takes connections and does not answer in MQTT"
            yield fail("broker", text, "is it a broker, and the right port?")
        elif probe.refusal:
            text = f"{where} refuses {options.username or gateway!r}: {probe.refusal}"
            yield fail("broker", text, "check uplink.username, password or tls.cert at both ends")
        else:
            took_ms = (time.monotonic() - began_s) * 1000
            yield ok("broker", f"{where} lets us in ({took_ms:.0f} ms)")
            if options.username not in (None, gateway):
                text = f"the account is {options.username!r}: brokers give rights by its name"
                yield warn("broker", text, "leave uplink.username out, or see the broker's rules")
            probe.client.subscribe(topics.down(site, gateway, "ack/+"), 1)
            heard = probe.subscribed.wait(_STEP_S)
            yield _rights(gateway, granted=heard and probe.granted == [True])
    finally:
        probe.client.disconnect()
        probe.client.loop_stop()


def _rights(gateway: str, *, granted: bool) -> Finding:
    if granted:
        return ok("broker", "we may hear our orders and commit-acks")
    text = f"the broker does not let {gateway!r} hear its own orders and commit-acks"
    return fail("broker", text, "access rules of the broker: docs/reference/broker.md")
