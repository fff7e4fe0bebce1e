"""A scripted day through the real HTTP API, broker, gateway, page and unmodified bleak; then one with the cloud cut off in the middle of it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tocsin.lab.children import LabError, tocsin_command
from tocsin.lab.confined.day import Day, Site


@pytest.mark.timeout(400)
def test_a_permit_from_application_to_the_verified_bundle_with_the_cloud_there_and_away(
    tmp_path: Path,
) -> None:
    with Site(tmp_path) as site:
        Day(site, cut=False).run()
        Day(site, cut=True).run()
        assert len(site.seen.bundles) == len(site.seen.breach_to_siren_s) == 2
        assert len(site.seen.stop_to_lock_s) == 4  # the stop and the close of each day
    for bundle in map(Path, site.seen.bundles.values()):
        changed = bundle.with_name("changed.tar")
        data = bytearray(bundle.read_bytes())
        with tarfile.open(bundle) as tar:
            journal = next(m for m in tar.getmembers() if m.name == "entries.jsonl")
        data[journal.offset_data + journal.size // 2] ^= 1
        changed.write_bytes(data)
        with pytest.raises(LabError):
            tocsin_command("permit", "verify", str(changed), "--json")
