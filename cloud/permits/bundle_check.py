"""Whether a bundle is what the cloud signed, and what it says holds together: every byte, hash, chain and signature. Offline."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec

from cloud.permits.bundle import (
    FORMAT,
    MANIFEST,
    SIGNATURE,
    SIGNED_AS,
    Basis,
    GasValue,
    GrantTold,
    LockEvent,
    Manifest,
    archive,
)
from tocsin.errors import GrantRefusedError
from tocsin.grants.grant import verify
from tocsin.grants.ids import id_of
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_log import verify_chain
from tocsin.grants.primitives import is_signed
from tocsin.permits.journal import Entry, entry_bytes, faults
from tocsin.permits.merge import merge
from tocsin.permits.permit import Permit, permit_of, permit_told_before

T = TypeVar("T")
MAX_BUNDLE_BYTES = 1 << 30


class Problem(msgspec.Struct, frozen=True):
    """What does not hold, and where: a file of the bundle, or `archive`."""

    where: str
    what: str


class Report(msgspec.Struct, frozen=True):
    """What was found. `key` is the one the manifest names; whether it is the cloud's only the inspector can know."""

    permit: str
    key: str
    problems: list[Problem]
    counts: dict[str, int]

    @property
    def whole(self) -> bool:
        """Whether everything holds."""
        return not self.problems


def check_bundle(data: bytes, key: str = "") -> Report:
    """Look at every byte. `key`: the cloud's bundle key in hex as the inspector knows it; without it any is taken."""
    problems: list[Problem] = []
    files = _files(data, problems)
    manifest = _decoded(files.get(MANIFEST), MANIFEST, Manifest, problems)
    if manifest is None:
        return Report("", "", problems or [Problem(MANIFEST, "is not there")], {})
    problems += _signature(files, manifest, key)
    problems += _manifest(files, manifest)
    if not problems and archive(files) != data:
        again = archive(files)
        at = next(
            (i for i, (a, b) in enumerate(zip(data, again, strict=False)) if a != b), len(again)
        )
        problems.append(Problem("archive", f"byte {at} is not what the archive of these files has"))
    counts: dict[str, int] = {}
    problems += _contents(files, manifest, counts)
    return Report(manifest.permit, manifest.key, problems, counts)


def _files(data: bytes, problems: list[Problem]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                held = tar.extractfile(member) if member.isreg() else None
                if held is None or member.name in files:
                    problems.append(Problem("archive", f"{member.name!r:.80} is no file, or twice"))
                    continue
                files[member.name] = held.read()
    except (tarfile.TarError, EOFError, ValueError, OSError, UnicodeError) as exc:
        problems.append(Problem("archive", f"cannot be read: {exc}"))
    return files


def _signature(files: Mapping[str, bytes], manifest: Manifest, key: str) -> Iterator[Problem]:
    if key and manifest.key != key.lower():
        yield Problem(MANIFEST, f"is of key {manifest.key}, not {key}")
    if manifest.format != FORMAT:
        yield Problem(MANIFEST, f"has format {manifest.format}, this version knows {FORMAT}")
    try:
        public, signature = bytes.fromhex(manifest.key), bytes.fromhex(files[SIGNATURE].decode())
        good = is_signed(public, signature, SIGNED_AS + files[MANIFEST])
        good = good and files[SIGNATURE] == signature.hex().encode()
    except (KeyError, ValueError):
        good = False
    if not good:
        yield Problem(SIGNATURE, "the signature over manifest.json does not hold")


def _manifest(files: Mapping[str, bytes], manifest: Manifest) -> Iterator[Problem]:
    listed = {f.name: f for f in manifest.files}
    for name, file in listed.items():
        held = files.get(name)
        if held is None:
            yield Problem(name, "is missing")
        elif len(held) != file.bytes or hashlib.sha256(held).hexdigest() != file.sha256:
            yield Problem(name, "is not what the manifest says: it was changed")
    for name in sorted(set(files) - set(listed) - {MANIFEST, SIGNATURE}):
        yield Problem(name, "is not in the manifest: it was added")
    for name in sorted(set(files)):
        digest = hashlib.sha256(files[name]).hexdigest()
        if name.startswith("photos/") and name != f"photos/{digest}":
            yield Problem(name, "is another picture than its name says")


def _contents(
    files: Mapping[str, bytes], manifest: Manifest, counts: dict[str, int]
) -> list[Problem]:
    problems: list[Problem] = []
    entries = _lines(files, "entries.jsonl", Entry, problems)
    told = _decoded(files.get("permit.json"), "permit.json", Permit, problems)
    basis = _decoded(files.get("basis.json"), "basis.json", Basis, problems)
    issuers = _decoded(files.get("issuers.json"), "issuers.json", dict[str, str], problems)
    grants = _lines(files, "grants.jsonl", GrantTold, problems)
    gas = _lines(files, "gas.jsonl", GasValue, problems)
    log = _lines(files, "lock-log.jsonl", LockEvent, problems)
    counts |= {
        "entries": len(entries),
        "grants": len(grants),
        "gas values": len(gas),
        "lock events": len(log),
        "pictures": sum(name.startswith("photos/") for name in files),
    }
    problems += _journal(entries, files.get("entries.jsonl", b""), manifest, told, basis)
    problems += _grants(grants, issuers or {}, manifest)
    problems += _lock_log(log)
    return problems


def _journal(
    entries: list[Entry],
    raw: bytes,
    manifest: Manifest,
    told: Permit | None,
    basis: Basis | None,
) -> Iterator[Problem]:
    where = "entries.jsonl"
    if not entries:
        yield Problem(where, "there is no entry")
        return
    if b"".join(entry_bytes(e) + b"\n" for e in entries) != raw:
        yield Problem(where, "an entry is not in its canonical form")
    for fault in faults(entries):
        yield Problem(where, f"entry {fault.seq} of {fault.source}: {fault.kind.value}")
    if entries[0].permit != manifest.permit:
        yield Problem(where, f"is of permit {entries[0].permit}")
    ordered = merge(entries)
    if ordered != entries:
        yield Problem(where, "the entries are in another order than their causes")
    readings = permit_of(manifest.permit, ordered), permit_told_before(manifest.permit, ordered)
    if told is not None and told not in readings:
        yield Problem("permit.json", "is not what the entries tell")
    if basis is not None and entries[-1].rules != basis.rules.version:
        yield Problem("basis.json", "the rule pack is not the one the entries name")


def _grants(
    grants: list[GrantTold], issuers: Mapping[str, str], manifest: Manifest
) -> Iterator[Problem]:
    keys = dict(issuers)
    for told in grants:
        where = "grants.jsonl"
        try:
            raw = bytes.fromhex(told.cose)
            kid = next(k for k in keys if bytes.fromhex(k) in raw[:16])
            found = verify(raw, IssuerKeys({bytes.fromhex(kid): bytes.fromhex(keys[kid])}))
        except (GrantRefusedError, ValueError, StopIteration) as exc:
            yield Problem(where, f"grant {told.cti}: {str(exc) or 'no issuer key fits'}")
            continue
        if found.claims.cti.hex() != told.cti or found.claims.pmt != id_of(manifest.permit):
            yield Problem(where, f"grant {told.cti} is another's")


def _lock_log(log: list[LockEvent]) -> Iterator[Problem]:
    """Every page reaches the head the lock vouched for, and the next page of that lock goes on from there."""
    last: dict[str, tuple[int, str]] = {}
    for told in log:
        if not told.events:
            continue
        where = f"lock-log.jsonl: lock {told.lock_id}"
        try:
            events = [bytes.fromhex(raw) for raw in told.events]
            before, after = bytes.fromhex(told.head_before), bytes.fromhex(told.head)
        except ValueError as exc:
            yield Problem(where, f"cannot be read: {exc}")
            continue
        report = verify_chain(events, head=before, seq=told.first_seq - 1, wanted_head=after)
        if report.fault is not None:
            yield Problem(where, f"event {report.fault.seq}: {report.fault.detail}")
        known = last.get(told.lock_id)
        if known is not None and known != (told.first_seq - 1, told.head_before):
            yield Problem(where, f"event {told.first_seq} does not follow event {known[0]}")
        last[told.lock_id] = (report.last_seq, told.head)


def _decoded(data: bytes | None, name: str, kind: type[T], problems: list[Problem]) -> T | None:
    if data is None:
        problems.append(Problem(name, "is missing"))
        return None
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        problems.append(Problem(name, f"cannot be read: {exc}"))
        return None


def _lines(
    files: Mapping[str, bytes], name: str, kind: type[T], problems: list[Problem]
) -> list[T]:
    found = []
    for n, line in enumerate(files.get(name, b"").splitlines(), 1):
        item = _decoded(line, f"{name}:{n}", kind, problems)
        if item is not None:
            found.append(item)
    return found
