"""Templates, their filters and what every page has in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import cast

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

from cloud.api.services import services
from cloud.console import show
from cloud.console.words import COOKIE, Language, kind_name, language_of, quantity_name, words
from cloud.identity.rules import Action as Act
from cloud.identity.rules import Principal, may
from tocsin.permits.words import said

STATIC = Path(str(files("cloud.console").joinpath("static")))
VENDOR = {
    "htmx": "vendor/htmx.org-2.0.11/htmx.min.js",
    "uplot": "vendor/uplot-1.6.32/uPlot.iife.min.js",
    "uplot_css": "vendor/uplot-1.6.32/uPlot.min.css",
    "maplibre_css": "vendor/maplibre-gl-6.17.0/maplibre-gl.css",
}
# What the browser's modules say; the rest of the catalogue stays here.
BROWSER_SECTIONS = (
    "live.", "state.", "quality.", "quality_code.", "map.", "device.no_points", "device.given_up",
    "permit.min_left", "permit.over", "permit.photo_", "permit.sign_", "phone.",
)  # fmt: skip


@cache
def environment() -> Environment:
    """Jinja with everything escaped."""
    env = Environment(
        loader=PackageLoader("cloud.console"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "unit": show.unit,
        "value": show.value,
        "stamp": show.stamp,
        "iso": show.iso,
        "size": show.size,
    }
    env.globals |= {"asset": asset, "unjudged": show.unjudged}
    env.tests["unjudged"] = lambda device: show.unjudged(device) is not None
    return env


@cache
def asset(path: str) -> str:
    """Address of a static file; changes with its content."""
    path = VENDOR.get(path, path)
    if path.startswith("vendor/"):
        return f"/static/{path}"
    seen = hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:10]
    return f"/static/{path}?v={seen}"


def language(request: Request) -> Language:
    """The reader's language."""
    return language_of(request.cookies.get(COOKIE), request.headers.get("accept-language", ""))


def translator(lang: Language) -> Callable[..., str]:
    """`t("section.key", name=...)`; an unknown key is its own text."""
    table = words(lang)

    def t(key: str, **names: object) -> str:
        told = table.get(key, key)
        return told.format(**names) if names else told

    return t


def page(
    request: Request,
    template: str,
    shown: Mapping[str, object] | None = None,
    *,
    status: int = 200,
    **more: object,
) -> HTMLResponse:
    """Render a page or a fragment for the caller."""
    lang = language(request)
    principal = cast("Principal | None", getattr(request.state, "principal", None))
    t = translator(lang)

    def age(seconds: float) -> str:
        number, unit = show.age(seconds)
        return t(unit, n=number)

    def can(action: str) -> bool:
        return principal is not None and may(principal, Act(action))

    body = (
        environment()
        .get_template(template)
        .render(
            t=t,
            lang=lang,
            quantity_name=lambda kind, quantity: quantity_name(kind, quantity, lang),
            kind_name=lambda kind: kind_name(kind, lang),
            cause_name=lambda cause: said("cause", cause, lang),
            principal=principal,
            can=can,
            age=age,
            path=request.url.path,
            now_ns=services(request).clock.now_ns(),
            browser_words={k: v for k, v in words(lang).items() if k.startswith(BROWSER_SECTIONS)},
            **(shown or {}),
            **more,
        )
    )
    return HTMLResponse(body, status, headers={"Cache-Control": "no-store"})
