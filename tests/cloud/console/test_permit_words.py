"""The journal of a permit in words: who opened, and what of a gas test was beyond its limit."""

from __future__ import annotations

import msgspec

from cloud.console.permit_show import journal_view
from cloud.console.permit_words import PermitWords
from cloud.console.render import translator
from cloud.permits.show import permit_page
from cloud.permits.shown import entry_row
from tests.permits.site import MIN, RULES, Site
from tocsin.permits.facts import GrantNoted, LockTold
from tocsin.permits.names import Action, Role

WORDS = PermitWords(translator("en"), "en")


def test_an_opening_says_by_whose_grant_and_gives_no_reason_twice() -> None:
    site = Site().to_active()
    grant = GrantNoted("ab" * 8, "lock-7", "cd", site.now_ns + 10 * MIN, account="li")
    site.must(Action.GRANT, "cloud", grant, Role.SYSTEM)
    for event, cti in (("unlock", "ab" * 8), ("unlock", "ef" * 8), ("egress", "")):
        said = LockTold("lock-7", event, cti=cti)
        site.ask(Action.LOCK, "gw-1", said, role=Role.SYSTEM, reason=event)
    rows = [entry_row(e) for e in site.entries]
    by_hand, unknown, known = journal_view(rows, WORDS).lines[:3]
    assert (known.what, known.why) == ("Lock lock-7: unlock, by the grant of li", "")
    assert (unknown.what, by_hand.what) == ("Lock lock-7: unlock", "Lock lock-7: egress")
    told = permit_page({"id": "P1", "site": "north", "space": "s", "state": "active"}, rows)
    assert ["by li" in line for line in told.splitlines()[-3:]] == [True, False, False]


def test_a_failed_gas_test_marks_its_values_by_the_rules_it_was_judged_by() -> None:
    site = Site().to_prepared()
    site.ask(Action.TEST, "sun", site.test(h2s=25.0))
    rows = [entry_row(e) for e in site.entries]
    assert "25 (beyond its limit of 7.06)" in journal_view(rows, WORDS, RULES).lines[0].what
    assert journal_view(rows, WORDS, RULES).lines[0].what.count("beyond") == 3, "at each depth"
    other = msgspec.structs.replace(RULES, version="of another day")
    assert "beyond" not in journal_view(rows, WORDS, other).lines[0].what
