"""A permit as one file for an inspector: everything that happened, with every hash and signature. docs/reference/bundle-permit.md.

The file is a tar archive in exactly one form (names in order, no owner, no time), so that not one byte of it is without meaning.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence

import msgspec

from tocsin.grants.primitives import public_key, sign
from tocsin.permits.journal import Entry, entry_bytes
from tocsin.permits.permit import Permit
from tocsin.permits.rule_rows import Rules
from tocsin.permits.space import Space, Template

FORMAT = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
SIGNED_AS = b"tocsin permit bundle 1\n"  # in front of the manifest, so that the signature means nothing else


class Basis(msgspec.Struct, frozen=True):
    """What a permit was begun with and runs by to its end."""

    space: Space
    template: Template
    rules: Rules


class GasValue(msgspec.Struct, frozen=True):
    """One stored value. `q` 0 is good; `unit` by UCUM."""

    device: str
    quantity: str
    unit: str
    time_ns: int
    value: float | None
    q: int


class LockEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a gateway told of a lock. A page of the lock's own log has its events' bytes and the heads around them, hex."""

    device: str
    time_ns: int
    kind: str
    text: str
    lock_id: str = ""
    first_seq: int = 0
    head_before: str = ""
    head: str = ""
    events: tuple[str, ...] = ()


class GrantTold(msgspec.Struct, frozen=True):
    """One grant: its COSE bytes in hex, to whom, when voided."""

    cti: str
    account: str
    issued_ns: int
    void_ns: int | None
    cose: str


class FileTold(msgspec.Struct, frozen=True):
    """One file of the bundle."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What the bundle holds, signed. `key` is the cloud's bundle key (Ed25519), hex."""

    format: int
    tocsin: str
    permit: str
    site: str
    made_ns: int
    key: str
    files: list[FileTold]


class Contents(msgspec.Struct, frozen=True):
    """Everything that goes in."""

    permit: Permit
    site: str
    basis: Basis
    entries: Sequence[Entry]
    issuers: Mapping[str, str]  # kid -> public key, hex
    grants: Sequence[GrantTold]
    gas: Sequence[GasValue]
    lock_log: Sequence[LockEvent]
    photos: Mapping[str, bytes]  # by SHA-256


def make_bundle(contents: Contents, *, seed: bytes, now_ns: int, version: str) -> bytes:
    """The file. `seed` is the private half of the cloud's bundle key."""
    files = {
        "basis.json": _json(contents.basis),
        "permit.json": _json(contents.permit),
        "entries.jsonl": _lines([entry_bytes(e) for e in contents.entries]),
        "issuers.json": _json(dict(contents.issuers)),
        "grants.jsonl": _lines([_json(g) for g in contents.grants]),
        "gas.jsonl": _lines([_json(v) for v in contents.gas]),
        "lock-log.jsonl": _lines([_json(e) for e in contents.lock_log]),
        **{f"photos/{name}": data for name, data in contents.photos.items()},
    }
    manifest = _json(
        Manifest(
            FORMAT,
            version,
            contents.permit.id,
            contents.site,
            now_ns,
            public_key(seed).hex(),
            [file_told(name, files[name]) for name in sorted(files)],
        )
    )
    signature = sign(seed, SIGNED_AS + manifest).hex().encode()
    return archive({MANIFEST: manifest, SIGNATURE: signature, **files})


def file_told(name: str, data: bytes) -> FileTold:
    """As the manifest says it."""
    return FileTold(name, len(data), hashlib.sha256(data).hexdigest())


def archive(files: Mapping[str, bytes]) -> bytes:
    """The one tar archive that these files make: manifest and signature first, the others by name."""
    first = [name for name in (MANIFEST, SIGNATURE) if name in files]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in [*first, *sorted(set(files) - {MANIFEST, SIGNATURE})]:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(files[name]), 0o644
            tar.addfile(info, io.BytesIO(files[name]))
    return out.getvalue()


def _json(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def _lines(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
