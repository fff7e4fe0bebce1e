"""Pictures are evidence: an isolation is signed with one that is there, nobody fills their room, and what nobody names goes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, insert, select

from cloud.db import open_engine, upgrade
from cloud.permits.orphans import AT_ONCE, Orphans
from cloud.permits.photos import DAY_NS, MAX_A_DAY, Photos
from cloud.permits.tables import permit_entries, permit_photos, permits
from tests.cloud.permits.crew import JPEG, Crew
from tocsin.errors import BadRequestError, NotFoundError

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud


class Box:
    """Pictures and journals on one state database; time moves when told."""

    def __init__(self, folder: Path) -> None:
        self.now = 10**18
        self.engine: Engine = open_engine(folder / "state.db")
        upgrade(self.engine)
        self.photos = Photos(self.engine, self, folder / "photos", 1 << 30)
        self.orphans = Orphans(self.engine, self, self.photos)
        self.entries = 0

    def now_ns(self) -> int:
        return self.now

    def mono_ns(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def sent(self, what: bytes, site: str = "north", by: str = "zhao") -> str:
        return self.photos.keep(site, JPEG + what, by).sha256

    def named(self, permit: str, site: str, *pictures: str) -> None:
        """A permit with entries that name pictures."""
        row = {"id": permit, "site": site, "space": "s", "gateway": "gw", "state": "active"}
        more = {"live": True, "changed_ns": 0, "basis": b"{}", "told": 0}
        with self.engine.begin() as c:
            if c.scalar(select(permits.c.id).where(permits.c.id == permit)) is None:
                c.execute(insert(permits).values(row | more))
            for picture in pictures:
                self.entries += 1
                body = b'{"photo":"%s"}' % picture.encode()
                c.execute(
                    insert(permit_entries).values(
                        permit=permit,
                        source="cloud",
                        seq=self.entries,
                        hash="",
                        at_ns=self.now,
                        received_ns=self.now,
                        body=body,
                    )
                )

    def there(self) -> set[tuple[str, str]]:
        with self.engine.connect() as c:
            rows = c.execute(select(permit_photos.c.site, permit_photos.c.sha256))
            return {(site, sha256) for site, sha256 in rows}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.engine.dispose()


def test_a_picture_that_no_permit_names_goes_after_two_days(box: Box) -> None:
    mine, nobodys = box.sent(b"1"), box.sent(b"2")
    also = box.sent(b"1", site="south")  # named at another site than this one
    box.named("P1", "north", mine)
    box.now += 2 * DAY_NS - 1
    fresh = box.sent(b"3")
    box.orphans.look()
    assert len(box.there()) == 4
    box.now += DAY_NS
    box.orphans.look()
    assert box.there() == {("north", mine), ("north", fresh)}
    assert box.photos.read(also) == JPEG + b"1"  # the file is the other site's too
    with pytest.raises(NotFoundError):
        box.photos.read(nobodys)


def test_what_is_named_or_sent_again_while_it_is_looked_for_stays(box: Box) -> None:
    named, again, gone = box.sent(b"1"), box.sent(b"2"), box.sent(b"3")
    for n in range(AT_ONCE + 1):
        box.named(f"P{n:03}", "north")
    box.now += 3 * DAY_NS
    box.orphans.look()
    box.now += 60 * 10**9
    box.named("P000", "north", named)  # which was looked through already
    assert box.sent(b"2") == again
    box.orphans.look()
    assert box.there() == {("north", named), ("north", again)}
    with pytest.raises(NotFoundError):
        box.photos.read(gone)


def test_one_person_does_not_fill_the_room_for_pictures(box: Box) -> None:
    for n in range(MAX_A_DAY):
        box.sent(b"%d" % n)
    with pytest.raises(BadRequestError, match="zhao has sent 100 pictures in a day"):
        box.sent(b"more")
    assert box.sent(b"0")  # the same again is none more
    assert box.sent(b"more", by="li")
    box.now += DAY_NS + 1
    assert box.sent(b"even more")


def test_an_isolation_is_signed_only_with_a_picture_that_is_at_its_site(
    cloud: RunningCloud, crew: Crew
) -> None:
    made = crew.must("zhao", "POST", "/permits", {"site": "north", "form": crew.form()})
    at = f"/permits/{made['permit']['id']}"
    crew.must("zhao", "POST", f"{at}/submit", {})
    crew.must("qian", "POST", f"{at}/prepare", {"reason": "fine"})
    item = next(i for i in cloud.permits.packs.template("sewer").isolations if i.photo)
    elsewhere = cloud.permits.photos.keep("south", JPEG + b"2", "zhao").sha256
    for picture in (hashlib.sha256(b"nothing").hexdigest(), elsewhere):
        refused = crew.why("zhao", "POST", f"{at}/isolations/{item.id}", {"photo": picture})
        assert refused["reason"] == "photo-missing"
    crew.must("zhao", "POST", f"{at}/isolations/{item.id}", {"photo": crew.photo})
