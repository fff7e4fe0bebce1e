"""The files of a mosquitto child. Its defaults stall at 20 messages, drop beyond 1000 and save every 1800 s."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path

from tocsin.broker.accounts import Account, hash_password, rules
from tocsin.contract.codec import MAX_MESSAGE_BYTES
from tocsin.contract.topics import ROOT

SYS_INTERVAL_S = 2  # so often it tells how many messages it dropped
FLOW = (
    "max_inflight_messages 0",
    "max_queued_messages 0",
    f"max_packet_size {MAX_MESSAGE_BYTES + 4096}",
    "set_tcp_nodelay true",
)


def identity_listener(folder: str, port: int) -> list[str]:
    """A listener on which everyone shows a certificate whose common name is the user and the client id.

    With the client id taken from it too, nobody can end another one's session by its client id.
    """
    return [
        f"listener {port}",
        f"certfile {folder}/cert.pem",
        f"keyfile {folder}/key.pem",
        f"cafile {folder}/ca.pem",
        f"crlfile {folder}/crl.pem",
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        "allow_anonymous false",
        f"acl_file {folder}/tocsin.acl",
    ]


def password_file(accounts: Sequence[Account]) -> str:
    """One `user:hash` line per account."""
    return "".join(f"{a.user}:{hash_password(a.password)}\n" for a in accounts)


def acl_file(accounts: Sequence[Account]) -> str:
    """Gateways by pattern, so that a new gateway needs a password only; the other roles by name."""
    lines = [
        f"pattern write {ROOT}/+/+/%u/up/#",
        f"pattern write {ROOT}/+/+/%u/state",
        f"pattern read {ROOT}/+/+/%u/down/#",
    ]
    for account in accounts:
        if account.role != "gateway":
            lines += ["", f"user {account.user}"]
            lines += [f"topic {access} {flt}" for access, flt in rules(account.user, account.role)]
    return "\n".join(lines) + "\n"


def main_file(
    directory: Path,
    host: str,
    port: int,
    *,
    tls: tuple[Path, Path, Path | None] | None,
    autosave_s: int,
    max_queued_bytes: int,
) -> str:
    """`mosquitto.conf` for one listener; `tls` is (certificate, key, CA that clients must have or None)."""
    lines = [
        f"listener {port} {host}",
        "allow_anonymous false",
        f"password_file {directory / 'passwords'}",
        f"acl_file {directory / 'acl'}",
        "persistence true",
        f"persistence_location {directory}/",
        f"autosave_interval {autosave_s}",
        *FLOW,
        f"max_queued_bytes {max_queued_bytes}",
        "connection_messages false",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",  # it is a notice that messages are dropped
        f"sys_interval {SYS_INTERVAL_S}",
    ]
    if os.geteuid() == 0:  # else it would become `mosquitto` and lose access to these files
        lines.append(f"user {pwd.getpwuid(0).pw_name}")
    if tls is not None:
        certificate, key, client_ca = tls
        lines += [f"certfile {certificate}", f"keyfile {key}"]
        if client_ca is not None:
            lines += [f"cafile {client_ca}", "require_certificate true"]
    return "\n".join(lines) + "\n"
