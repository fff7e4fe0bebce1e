"""Not one byte of a bundle can be changed without being found and named."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cloud.permits.bundle import (
    Basis,
    Contents,
    GasValue,
    GrantTold,
    LockEvent,
    archive,
    make_bundle,
)
from cloud.permits.bundle_check import check_bundle
from cloud.permits.command_line import app
from tests.permits.journals import Writer
from tests.permits.site import FORM, RULES, SEWER, SPACE, Site
from tocsin.grants.claims import Claims, Op
from tocsin.grants.grant import issue
from tocsin.grants.ids import id_of
from tocsin.grants.lock_log import LockEvent as Happened
from tocsin.grants.lock_log import encode_event, first_head, verify_chain
from tocsin.grants.primitives import public_key
from tocsin.permits.facts import Counted, Drafted, Entered
from tocsin.permits.journal import gateway_source
from tocsin.permits.merge import merge
from tocsin.permits.permit import permit_of, permit_told_before

SEED, ISSUER, LOCK = b"b" * 32, b"i" * 32, b"LOCK0007"
PHOTO = b"\xff\xd8\xff a picture"


def lock_page(first: int, head: bytes, count: int = 3) -> tuple[LockEvent, bytes]:
    """A page of the lock's log, and the head after it."""
    events = [encode_event(Happened(n, 1000 + n, 2, 1)) for n in range(first, first + count)]
    after = verify_chain(events, head=head, seq=first - 1).head
    told = LockEvent(
        "lock-7", first, "lock.log", "unlock", LOCK.hex(), first, head.hex(), after.hex(),
        tuple(e.hex() for e in events),
    )  # fmt: skip
    return told, after


def contents(**changed: object) -> Contents:
    """A closed permit with everything."""
    site = Site().to_closed()
    one, head = lock_page(1, first_head(LOCK))
    two, _ = lock_page(4, head)
    claims = Claims(
        cti=b"grant001", sub=b"holder01", aud=LOCK, nbf=1000, exp=2000, pmt=id_of("P1"), ctr=1, ops=Op.UNLOCK
    )  # fmt: skip
    grant = issue(claims, kid=b"\0\1", seed=ISSUER)
    values: dict[str, object] = {
        "permit": site.permit,
        "site": "north",
        "basis": Basis(SPACE, SEWER, RULES),
        "entries": site.entries,
        "issuers": {"0001": public_key(ISSUER).hex()},
        "grants": [GrantTold(claims.cti.hex(), "li", 1, None, grant.raw.hex())],
        "gas": [GasValue("gas-1", "h2s", "[ppm]", n, 1.0 + n, 0) for n in range(20)],
        "lock_log": [one, two],
        "photos": {hashlib.sha256(PHOTO).hexdigest(): PHOTO},
    }
    return Contents(**{**values, **changed})  # type: ignore[arg-type]


@cache
def bundle() -> bytes:
    return make_bundle(contents(), seed=SEED, now_ns=1, version="1")


def test_a_bundle_holds_together() -> None:
    report = check_bundle(bundle(), public_key(SEED).hex())
    assert report.problems == []
    assert report.counts == {
        "entries": len(contents().entries), "grants": 1, "gas values": 20, "lock events": 2, "pictures": 1,
    }  # fmt: skip


def test_a_bundle_that_an_earlier_version_made_still_verifies() -> None:
    cloud, gateway = Writer(), Writer(gateway_source("gw-1"))
    cloud.write(Drafted(FORM), 1)
    gateway.see(cloud)
    gateway.write(Entered("zhou"), 10)
    cloud.write(Counted(()), 11)
    entries = merge([*cloud.entries, *gateway.entries])
    rules = msgspec.structs.replace(RULES, version="r1")
    for permit in (permit_of("P1", entries), permit_told_before("P1", entries)):
        made = contents(permit=permit, entries=entries, basis=Basis(SPACE, SEWER, rules), grants=[])
        assert check_bundle(make_bundle(made, seed=SEED, now_ns=1, version="0")).problems == []


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_flipped_bit_goes_unnoticed(data: st.DataObject) -> None:
    changed = bytearray(bundle())
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    problems = check_bundle(bytes(changed)).problems
    assert problems
    assert all(p.where and p.what for p in problems)


def test_the_file_that_was_changed_is_named() -> None:
    with tarfile.open(fileobj=io.BytesIO(bundle())) as tar:
        places = {m.name: m.offset_data + m.size // 2 for m in tar if m.size}
    assert len(places) == 10
    for name, at in places.items():
        changed = bytearray(bundle())
        changed[at] ^= 1
        named = " ".join(p.where for p in check_bundle(bytes(changed)).problems)
        assert name in named or (name == "manifest.json" and "manifest.sig" in named), name


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 5000, -1, -512, -1024])
def test_a_bundle_that_was_cut_is_not_whole(cut: int) -> None:
    assert not check_bundle(bundle()[:cut]).whole
    assert not check_bundle(bundle() + b"\0" * 512).whole


def files_of(data: bytes) -> dict[str, bytes]:
    """The files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]


def test_files_left_out_added_or_signed_by_another_are_named() -> None:
    files = files_of(bundle())
    less = {n: d for n, d in files.items() if n != "gas.jsonl"}
    assert [p.where for p in check_bundle(archive(less)).problems] == ["gas.jsonl"]
    more = files | {"note.txt": b"believe me"}
    assert "note.txt" in [p.where for p in check_bundle(archive(more)).problems]
    forged = make_bundle(contents(), seed=b"f" * 32, now_ns=1, version="1")
    assert check_bundle(forged).whole  # with a key that nobody knows
    report = check_bundle(forged, public_key(SEED).hex())
    assert [p.where for p in report.problems] == ["manifest.json"]


def test_what_the_cloud_signed_must_hold_by_itself_too() -> None:
    """Whoever has the bundle key still cannot leave an entry out, or show another permit than the entries tell."""
    whole = contents()
    entries = list(whole.entries)
    wrong: dict[str, Contents] = {
        "gap": contents(entries=[*entries[:3], *entries[4:]]),
        "is not what the entries tell": contents(permit=Site().to_active("zhou").permit),
        "another order": contents(entries=[entries[1], entries[0], *entries[2:]]),
        "no issuer key fits": contents(issuers={}),
        "does not follow": contents(lock_log=[whole.lock_log[0], whole.lock_log[0]]),
        "the rule pack": contents(
            basis=Basis(SPACE, SEWER, type(RULES)("x", "another", 20.0, RULES.rows))
        ),
    }
    for what, held in wrong.items():
        report = check_bundle(make_bundle(held, seed=SEED, now_ns=1, version="1"))
        assert any(what in p.what for p in report.problems), (what, report.problems)


def test_the_command_says_what_does_not_hold_and_ends_with_nine(tmp_path: Path) -> None:
    file = tmp_path / "permit.tar"
    file.write_bytes(bundle())
    key = public_key(SEED).hex()
    run = CliRunner().invoke(app, ["verify", str(file), "--key", key])
    assert (run.exit_code, "everything holds" in run.stdout) == (0, True)
    changed = bytearray(bundle())
    changed[bundle().index(b'"gas-1"')] ^= 1
    file.write_bytes(changed)
    run = CliRunner().invoke(app, ["verify", str(file), "--json"])
    assert run.exit_code == 9
    told = json.loads(run.stdout)
    assert told["whole"] is False
    assert "gas.jsonl" in [p["where"].split(":")[0] for p in told["problems"]]
