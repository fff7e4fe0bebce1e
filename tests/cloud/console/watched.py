"""A page in a real Chromium that must stay at home. Screenshots land in .test-run/console."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, ViewportSize, expect

PASSWORD = "correct horse battery"
SHOTS = Path(".test-run") / "console"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
]
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1280, "height": 860}
WALL: ViewportSize = {"width": 1920, "height": 1080}


class Watched:
    """A page whose every request must go to the console's own origin and succeed."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        phone: bool = False,
        lang: str = "zh-CN",
        size: ViewportSize | None = None,
    ):
        self.url = url
        size = size or (PHONE if phone else DESK)
        self.context = browser.new_context(
            base_url=url, viewport=size, locale=lang, device_scale_factor=1, has_touch=phone
        )
        self.page: Page = self.context.new_page()
        self.problems: list[str] = []
        self.page.on("request", lambda r: self._origin(r.url))
        self.page.on("requestfailed", lambda r: self._failed(r.url, r.failure or ""))
        self.page.on("response", lambda r: self._status(r.url, r.status))
        self.page.on("console", lambda m: self._said(m.type, m.text))
        self.page.on("pageerror", lambda e: self.problems.append(f"script: {e}"))

    def _origin(self, url: str) -> None:
        if (
            not url.startswith(("data:", "blob:"))
            and urlsplit(url).netloc != urlsplit(self.url).netloc
        ):
            self.problems.append(f"foreign origin: {url}")

    def _failed(self, url: str, why: str) -> None:
        if "ERR_ABORTED" not in why:  # the browser's own doing when a page is left
            self.problems.append(f"failed: {url} {why}")

    def _status(self, url: str, status: int) -> None:
        if status >= 400 and status not in (401, 409):
            self.problems.append(f"{status}: {url}")

    def _said(self, kind: str, text: str) -> None:
        expected = "status of 401" in text or "status of 409" in text or "GPU stall" in text
        if kind in ("error", "warning") and not expected:
            self.problems.append(f"{kind}: {text}")

    def known_as(self, cookie: str) -> None:
        """With a session that was begun elsewhere."""
        name, _, value = cookie.partition("=")
        self.context.add_cookies([{"name": name, "value": value, "url": self.url}])

    def log_in(self, name: str) -> None:
        self.page.goto("/login")
        self.page.fill("input[name=name]", name)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.click("button.primary")
        expect(self.page.locator("#live")).to_have_attribute("data-state", "live", timeout=20_000)

    def log_out(self) -> None:
        """Without a page that would notice and reload itself."""
        self.page.goto("about:blank")
        self.context.clear_cookies()

    def shot(self, name: str, *, full: bool = True) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=full)

    def fits(self) -> None:
        """Nothing sticks out sideways."""
        wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, f"{self.page.url} is {wide} px too wide"

    def done(self) -> None:
        assert self.problems == []
        self.context.close()
