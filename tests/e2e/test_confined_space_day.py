"""A scripted day through the real HTTP API, broker, gateway, page and unmodified bleak; then one with the cloud cut off in the middle of it."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from tocsin.lab.children import LabError, tocsin_command
from tocsin.lab.confined.by_hand import ready
from tocsin.lab.confined.day import Day, Site


@pytest.mark.timeout(400)
def test_a_permit_from_application_to_the_verified_bundle_with_the_cloud_there_and_away(
    tmp_path: Path,
) -> None:
    with Site(tmp_path) as site:
        Day(site, cut=False).run()
        Day(site, cut=True).run()
        assert len(site.seen.bundles) == len(site.seen.breach_to_siren_s) == 2
        told = site.seen.told()
        sheet = ready(site)
        for name in ("qian", "feng", "tech", "root"):
            assert site.people[name].secret in sheet
            assert len(site.people[name].secret) >= 32
        space = site.people["zhao"].get("/permit-ledger/spaces")[0]
        assert space["rules"] == "by-hand", "a gas test by hand is not too old after 15 s"
    head, *rows = [re.split(r"  +", line) for line in told.partition("\n\n")[0].splitlines()]
    assert head == ["", "cloud there", "cloud away"]
    measured = {what: [float(s) for s in seconds] for what, *seconds in rows}
    assert len(measured) == 5
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in measured.values()), told
    assert all(f"tocsin permit verify {bundle}" in told for bundle in site.seen.bundles.values())
    for bundle in map(Path, site.seen.bundles.values()):
        changed = bundle.with_name("changed.tar")
        data = bytearray(bundle.read_bytes())
        with tarfile.open(bundle) as tar:
            journal = next(m for m in tar.getmembers() if m.name == "entries.jsonl")
        data[journal.offset_data + journal.size // 2] ^= 1
        changed.write_bytes(data)
        with pytest.raises(LabError):
            tocsin_command("permit", "verify", str(changed), "--json")
