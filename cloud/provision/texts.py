"""The configuration texts that go with keys and certificates."""

from __future__ import annotations

from tocsin.broker.child import MAX_QUEUED_BYTES
from tocsin.broker.mosquitto_conf import FLOW, identity_listener

_HEAD = "# Made by `tocsin provision`.\n"


def mosquitto_conf(folder: str, port: int) -> str:
    """mosquitto 2 with one listener: TLS, a certificate from everyone, and the certificate's name is the user."""
    lines = [
        *identity_listener(folder, port),
        *FLOW,
        f"max_queued_bytes {MAX_QUEUED_BYTES}",
        "autosave_interval 5",
    ]
    return (
        _HEAD
        + f"# mosquitto must be able to read {folder}: chown -R mosquitto {folder}\n"
        + "# Copy this file into /etc/mosquitto/conf.d; after `renew` or `revoke` restart mosquitto.\n"
        + "\n".join(lines)
        + "\n"
    )


def gateway_toml(name: str, site: str, host: str, port: int) -> bytes:
    """The gateway's part of gateway.toml; its files lie beside it."""
    return (
        _HEAD
        + f"""schema = 1

[gateway]
id = "{name}"
site = "{site}"
data_dir = "/var/lib/tocsin/edge"

[uplink]
host = "{host}"
port = {port}
tls = {{ ca = "ca.pem", cert = "cert.pem", key = "key.pem" }}

[commands]
key = "${{file:command-key}}"
"""
    ).encode()


def cloud_block(name: str, site: str) -> bytes:
    """The lines of cloud.toml that let this gateway in; paths as seen from the folder `cloud`."""
    return f"""[[gateways]]
id = "{name}"
site = "{site}"
command_key = "${{file:../gateways/{name}/command-key}}"
""".encode()


def cloud_toml(name: str, host: str, port: int) -> bytes:
    """The cloud's part of cloud.toml; its files lie beside it."""
    return (
        _HEAD
        + f"""schema = 1

[cloud]
name = "{name}"
data_dir = "/var/lib/tocsin/cloud"

[broker]
mode = "external"
host = "{host}"
port = {port}
tls = {{ ca = "ca.pem", cert = "cert.pem", key = "key.pem" }}

# one block for each gateway: gateways/ID/cloud-block.toml
"""
    ).encode()
