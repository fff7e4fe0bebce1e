"""A provisioned mosquitto: authority, broker, cloud and two gateways."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud.provision.folder import Folder
from tocsin.testing import Process, free_port, run_process, wait_until_sync
from tocsin.testing.peer import Peer

DAYS = 825


def context(place: Path, ca: Path | None = None) -> ssl.SSLContext:
    """A client's TLS with the identity that lies at `place`."""
    made = ssl.create_default_context(cafile=ca or place / "ca.pem")
    made.load_cert_chain(place / "cert.pem", place / "key.pem")
    return made


class Site:
    """The provisioned folder and its broker."""

    def __init__(self, folder: Folder, port: int) -> None:
        self.folder, self.port = folder, port

    def place(self, name: str) -> Path:
        """Where the identity of `name` lies."""
        inner = self.folder.path / "gateways" / name
        return inner if inner.exists() else self.folder.path / "cloud"

    def peer(self, name: str, *, user: str = "", password: str = "", client_id: str = "") -> Peer:
        """A client with the certificate of `name`, whatever it says of itself."""
        tls = context(self.place(name))
        return Peer(self.port, user or name, password, client_id=client_id, tls=tls)

    @contextmanager
    def broker(self) -> Iterator[Process]:
        """A real mosquitto with the files that were made, on loopback only."""
        place = self.folder.path / "broker"
        text = (place / "tocsin.conf").read_text()
        test_conf = self.folder.path.parent / "test.conf"
        here = f"listener {self.port} 127.0.0.1\nuser root"
        test_conf.write_text(text.replace(f"listener {self.port}", here))
        with run_process(["/usr/sbin/mosquitto", "-c", str(test_conf)]) as running:
            wait_until_sync(lambda: running.returncode is not None or self._welcomes(), 20.0)
            assert running.returncode is None, running.stderr
            yield running

    def _welcomes(self) -> bool:
        peer = self.peer("cloud-0")
        try:
            return peer.connect()
        except OSError:
            return False
        finally:
            peer.close()


def provisioned(path: Path) -> Site:
    """A new folder with gateways gw-a and gw-b."""
    now, port = datetime.now(UTC), free_port()
    folder = Folder.create(
        path / "provision", now, hosts=["127.0.0.1"], port=port, cloud="cloud-0", days=DAYS
    )
    for name in ("gw-a", "gw-b"):
        folder.gateway(name, "east", now, DAYS)
    return Site(folder, port)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = provisioned(tmp_path_factory.mktemp("pki"))
    with made.broker():
        yield made
