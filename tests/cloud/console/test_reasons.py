"""Why a device does not answer, as pages say it."""

from __future__ import annotations

import httpx
import pytest

from cloud.identity.rules import Scope
from tests.cloud.conftest import KnownSpine, RunningCloud

TEXT = "http://10.0.0.9/a.jpg: connection refused"


@pytest.mark.parametrize("reason", ["", "of-a-newer-gateway"])
def test_a_reason_that_is_not_known_here_is_told_in_the_words_of_its_gateway(
    watching: RunningCloud, reason: str
) -> None:
    def lose(spine: KnownSpine) -> None:
        spine.devices["north", "cam-1"] |= {"state": "unavailable", "last_error": TEXT, "last_reason": reason}  # fmt: skip

    watching.do(lose)
    headers = watching.token(Scope.READ)
    for path in ("/", "/cameras", "/devices/north/cam-1", "/cameras/north/cam-1"):
        page = httpx.get(f"{watching.url}{path}", headers=headers, timeout=30).text
        assert f'<small lang="en">{TEXT}</small>' in page, path
        assert 'class="reason"' not in page


@pytest.mark.parametrize(("lang", "why"), [("zh", "没有回答"), ("en", "Does not answer")])
def test_a_gateway_says_of_its_devices_why_they_do_not_answer(
    two_sites: RunningCloud, lang: str, why: str
) -> None:
    def speak(_: object) -> None:
        lost = {"id": "gas-01", "state": "unavailable", "last_error": "port 3: silence", "last_reason": "no-answer"}  # fmt: skip
        two_sites.spine.gateways[0] |= {"t": 1, "devices": [lost, {"id": "gas-02", "state": "ok"}]}

    two_sites.do(speak)
    headers = two_sites.token(Scope.READ) | {"Accept-Language": lang}
    page = httpx.get(f"{two_sites.url}/gateways", headers=headers, timeout=30).text
    assert page.count('class="reason"') == 1
    assert f'<span class="reason">{why}</span> <small lang="en">port 3: silence</small>' in page
