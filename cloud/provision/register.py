"""Which certificates were issued, to whom, and which are revoked: `issued.json` beside the authority."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from cloud.provision.authority import Role
from cloud.provision.files import replace
from tocsin.errors import ProvisionError, ProvisionReason


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One certificate. `serial` is hexadecimal; of several for one name the last one counts."""

    name: str
    role: Role
    serial: str
    issued: datetime
    not_after: datetime
    site: str = ""
    revoked: datetime | None = None


class _File(msgspec.Struct, frozen=True):
    host: str
    port: int
    broker_dir: str
    issued: list[Entry]


class Register:
    """The file in memory; every change is written at once."""

    def __init__(self, path: Path, file: _File) -> None:
        self._path, self._file = path, file

    @classmethod
    def create(cls, path: Path, host: str, port: int, broker_dir: str) -> Register:
        """A new, empty one."""
        made = cls(path, _File(host, port, broker_dir, []))
        made._write(made._file)
        return made

    @classmethod
    def read(cls, path: Path) -> Register:
        """The one that is there.

        Raises:
            ProvisionError: there is none, or it cannot be read.
        """
        try:
            return cls(path, msgspec.json.decode(path.read_bytes(), type=_File))
        except FileNotFoundError as exc:
            raise ProvisionError(
                ProvisionReason.NO_AUTHORITY,
                f"{path.parent} holds no authority",
                hint="tocsin provision init --dir DIR --broker-host HOST makes one",
            ) from exc
        except (OSError, msgspec.DecodeError) as exc:
            raise ProvisionError(ProvisionReason.UNREADABLE, f"{path}: {exc}") from exc

    @property
    def host(self) -> str:
        """Name by which gateways reach the broker."""
        return self._file.host

    @property
    def port(self) -> int:
        """Its port."""
        return self._file.port

    @property
    def broker_dir(self) -> str:
        """Where the broker's folder lies on the broker's machine."""
        return self._file.broker_dir

    @property
    def entries(self) -> list[Entry]:
        """All certificates ever issued, oldest first."""
        return self._file.issued

    def current(self, name: str) -> Entry:
        """The certificate of `name` that counts.

        Raises:
            ProvisionError: nobody has this name.
        """
        found = [e for e in self.entries if e.name == name]
        if not found:
            raise ProvisionError(
                ProvisionReason.UNKNOWN_NAME,
                f"no certificate was issued to {name!r}",
                hint="tocsin provision list shows the names",
            )
        return found[-1]

    def add(self, entry: Entry) -> None:
        """Note a new certificate."""
        self._write(msgspec.structs.replace(self._file, issued=[*self.entries, entry]))

    def revoke(self, name: str, now: datetime, *, keep: str = "") -> list[Entry]:
        """Revoke every certificate of `name` but the one with serial `keep`; those that were not yet."""
        self.current(name)
        hit = [e for e in self.entries if e.name == name and e.revoked is None and e.serial != keep]
        issued = [msgspec.structs.replace(e, revoked=now) if e in hit else e for e in self.entries]
        self._write(msgspec.structs.replace(self._file, issued=issued))
        return hit

    def _write(self, file: _File) -> None:
        replace(self._path, msgspec.json.format(msgspec.json.encode(file)), private=True)
        self._file = file
