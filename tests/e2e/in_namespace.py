"""Run inside a network namespace that has only loopback: the demo, and a browser that walks through its console.

Prints one JSON object: the demo's report, every request the pages made, and where the screenshots are.
Usage: python in_namespace.py FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from playwright.sync_api import ConsoleMessage, Page, sync_playwright

from tocsin.lab.demo import Demo
from tocsin.lab.site import RELEASE_HEAD, SITE, Site

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAME, PASSWORD = "chen.yi", "correct horse battery staple"


def walk(page: Page, run: Demo, shots: Path) -> None:
    """First account, list, alarm, device, map: what a newcomer clicks."""
    page.goto(run.first_admin_url)
    page.fill("input[name=name]", NAME)
    for box in page.locator("input[type=password]").all():
        box.fill(PASSWORD)
    page.click("form.door button, form[action='/setup'] button")
    page.wait_for_load_state()
    page.goto(run.console_url + "/")
    page.wait_for_selector(f"text={RELEASE_HEAD}")
    deadline = time.monotonic() + 40.0
    while not run.client.get("/api/v1/alarms") and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    page.wait_for_timeout(1500)
    page.screenshot(path=str(shots / "console.png"))
    page.goto(f"{run.console_url}/devices/{SITE}/{RELEASE_HEAD}")
    page.wait_for_selector(".uplot, canvas")
    page.wait_for_timeout(1500)
    page.screenshot(path=str(shots / "device.png"), full_page=True)
    for name in ("map", "alarms", "gateways"):
        page.goto(f"{run.console_url}/{name}")
        page.wait_for_timeout(2000)
        page.screenshot(path=str(shots / f"{name}.png"))


def watch(page: Page, requests: list[dict[str, Any]]) -> None:
    """Note every answer, every failed request and every error of a script."""

    def told(message: ConsoleMessage) -> None:
        if message.type == "error":
            requests.append({"url": page.url, "failed": f"console: {message.text}"})

    page.on("requestfailed", lambda r: requests.append({"url": r.url, "failed": r.failure}))
    page.on("response", lambda r: requests.append({"url": r.url, "status": r.status}))
    page.on("pageerror", lambda e: requests.append({"url": page.url, "failed": f"script: {e}"}))
    page.on("console", told)


def main() -> None:
    folder = Path(sys.argv[1])
    shots = folder / "shots"
    shots.mkdir(parents=True, exist_ok=True)
    requests: list[dict[str, Any]] = []
    with Demo(folder / "run", Site(release_after_s=3.0)) as run, sync_playwright() as playwright:
        run.start(lambda _part: None)
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS
        )
        context = browser.new_context(viewport={"width": 1360, "height": 860}, locale="en-GB")
        page = context.new_page()
        watch(page, requests)
        walk(page, run, shots)
        browser.close()
        report = run.finish()
    own = urlsplit(report.console_url).netloc
    sys.stdout.write(
        json.dumps(
            {
                "own": own,
                "requests": requests,
                "shots": str(shots),
                "report": msgspec.to_builtins(report),
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
