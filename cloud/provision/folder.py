"""The provisioning folder: authority, broker, cloud, and one folder per gateway that is carried to it.

authority/          ca.pem, ca.key: stays here; whoever has ca.key can make any identity
broker/             mosquitto's certificate, configuration, access rules and revocation list
cloud/              the cloud's identity and its part of cloud.toml
gateways/ID/        a gateway's identity, its command key and its part of gateway.toml; page-cert.pem for the attendant's page
issued.json         every certificate ever issued
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cloud.provision.authority import Authority, Role, hosts_of
from cloud.provision.files import make_folder, replace
from cloud.provision.register import Entry, Register
from cloud.provision.texts import cloud_block, cloud_toml, gateway_toml, mosquitto_conf
from tocsin.broker import Account
from tocsin.broker.mosquitto_conf import acl_file
from tocsin.contract.topics import is_name
from tocsin.errors import ProvisionError, ProvisionReason, UsageError

_KEY_BYTES = 32
_PAGE = ".page"  # in the register, behind the name of the gateway whose page it is


class Folder:
    """Everything about one broker and those who may speak at it."""

    def __init__(self, path: Path, authority: Authority, register: Register) -> None:
        self.path, self._authority, self.register = path, authority, register

    @classmethod
    def create(
        cls,
        path: Path,
        now: datetime,
        *,
        hosts: Sequence[str],
        port: int,
        cloud: str,
        days: int,
        broker_dir: Path | None = None,
    ) -> Folder:
        """A new authority, the broker's files and the cloud's identity.

        Raises:
            ProvisionError: the folder is not empty, or cannot be written.
        """
        _named(cloud)
        make_folder(path)
        for name in ("authority", "broker", "cloud", "gateways"):
            make_folder(path / name)
        authority, key = Authority.create(f"Tocsin authority {hosts[0]}", now)
        replace(path / "authority" / "ca.key", key, private=True)
        replace(path / "authority" / "ca.pem", authority.pem, private=False)
        there = str((broker_dir or path / "broker").resolve())
        folder = cls(path, authority, Register.create(path / "issued.json", hosts[0], port, there))
        folder._give(path / "broker", "broker", "broker", now, days, hosts=hosts)
        folder._give(path / "cloud", cloud, "cloud", now, days)
        conf = mosquitto_conf(there, port)
        replace(path / "broker" / "tocsin.conf", conf.encode(), private=False)
        acl = acl_file([Account(cloud, "", "ingester")])
        replace(path / "broker" / "tocsin.acl", acl.encode(), private=True)
        replace(path / "cloud" / "cloud.toml", cloud_toml(cloud, hosts[0], port), private=False)
        folder._revocations(now)
        return folder

    @classmethod
    def open(cls, path: Path) -> Folder:
        """The one that is there.

        Raises:
            ProvisionError: there is none, or it cannot be read.
        """
        register = Register.read(path / "issued.json")
        try:
            cert = (path / "authority" / "ca.pem").read_bytes()
            key = (path / "authority" / "ca.key").read_bytes()
            return cls(path, Authority(cert, key), register)
        except (OSError, ValueError) as exc:
            raise ProvisionError(
                ProvisionReason.UNREADABLE, f"{path / 'authority'}: {exc}"
            ) from exc

    def gateway(self, name: str, site: str, now: datetime, days: int) -> Path:
        """The folder of a new gateway.

        Raises:
            ProvisionError: the name is taken.
        """
        _named(name)
        _named(site)
        if any(e.name == name for e in self.register.entries):
            raise ProvisionError(
                ProvisionReason.NAME_TAKEN,
                f"{name!r} has a certificate already",
                hint=f"tocsin provision renew {name}",
            )
        place = self.path / "gateways" / name
        make_folder(place)
        self._give(place, name, "gateway", now, days, site=site)
        key = secrets.token_hex(_KEY_BYTES).encode()
        replace(place / "command-key", key, private=True)
        text = gateway_toml(name, site, self.register.host, self.register.port)
        replace(place / "gateway.toml", text, private=False)
        replace(place / "cloud-block.toml", cloud_block(name, site), private=False)
        return place

    def page(self, name: str, now: datetime, days: int, hosts: Sequence[str]) -> Path:
        """A certificate for the attendant's page of a gateway, for servers only; the gateway's folder.

        Raises:
            ProvisionError: nobody has this name, or it has a page already.
        """
        if all(e.name != name for e in self.register.entries):
            raise ProvisionError(
                ProvisionReason.UNKNOWN_NAME,
                f"the gateway {name!r} has no certificate yet",
                hint=f"first: tocsin provision gateway {name} --site SITE",
            )
        last = self.register.current(name)
        if last.role != "gateway":
            raise ProvisionError(
                ProvisionReason.UNKNOWN_NAME,
                f"{name!r} is no gateway but the {last.role}",
                hint="tocsin provision list shows the names",
            )
        own = name + _PAGE
        if any(e.name == own for e in self.register.entries):
            raise ProvisionError(
                ProvisionReason.NAME_TAKEN,
                f"the page of {name!r} has a certificate already",
                hint=f"tocsin provision renew {own}",
            )
        place = self._place(last)
        self._give(place, own, "page", now, days, site=last.site, hosts=hosts)
        return place

    def renew(self, name: str, now: datetime, days: int, *, revoke_old: bool) -> Path:
        """A new key and certificate for a name that has one; the place they lie.

        Raises:
            ProvisionError: nobody has this name.
        """
        last = self.register.current(name)
        place = self._place(last)
        hosts = self._hosts(place, last.role) if last.role in ("broker", "page") else ()
        self._give(place, name, last.role, now, days, site=last.site, hosts=hosts)
        if revoke_old:
            self.register.revoke(name, now, keep=self.register.current(name).serial)
            self._revocations(now)
        return place

    def revoke(self, name: str, now: datetime) -> list[Entry]:
        """Shut a name out; the certificates this hit.

        Raises:
            ProvisionError: nobody has this name.
        """
        hit = self.register.revoke(name, now)
        self._revocations(now)
        return hit

    def _place(self, entry: Entry) -> Path:
        if entry.role == "gateway":
            return self.path / "gateways" / entry.name
        if entry.role == "page":
            return self.path / "gateways" / entry.name.removesuffix(_PAGE)
        return self.path / entry.role

    def _hosts(self, place: Path, role: Role) -> Sequence[str]:
        path = place / f"{_prefix(role)}cert.pem"
        try:
            return hosts_of(path.read_bytes())
        except (OSError, ValueError) as exc:
            raise ProvisionError(ProvisionReason.UNREADABLE, f"{path}: {exc}") from exc

    def _give(
        self,
        place: Path,
        name: str,
        role: Role,
        now: datetime,
        days: int,
        *,
        site: str = "",
        hosts: Sequence[str] = (),
    ) -> None:
        made = self._authority.issue(name, role, now, days, hosts)
        # noted before it is handed out: what is not in the register cannot be revoked
        self.register.add(Entry(name, role, f"{made.serial:x}", now, made.not_after, site))
        replace(place / f"{_prefix(role)}key.pem", made.key, private=True)
        replace(place / f"{_prefix(role)}cert.pem", made.cert, private=False)
        replace(place / "ca.pem", self._authority.pem, private=False)

    def _revocations(self, now: datetime) -> None:
        gone = [(int(e.serial, 16), e.revoked) for e in self.register.entries if e.revoked]
        pem = self._authority.revocations(gone, now)
        replace(self.path / "broker" / "crl.pem", pem, private=False)


def _prefix(role: Role) -> str:
    return "page-" if role == "page" else ""


def _named(text: str) -> None:
    if not is_name(text):
        raise UsageError(f"{text!r} is no name", hint="1-64 of a-z 0-9 . _ -")
