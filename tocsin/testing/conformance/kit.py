"""Runs every rule of the contract of tocsin.sdk.Driver against one installed driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Container
from contextlib import ExitStack

from tocsin.testing.conformance import plugged
from tocsin.testing.conformance.plugged import Stand
from tocsin.testing.conformance.recorded import cases
from tocsin.testing.conformance.subject import LIVE, Outcome, Rule, Subject
from tocsin.testing.conformance.unplugged import UNPLUGGED

RECORDED = Rule("cases", "gives what its recorded cases expect", cases)
LINK_LOST = "link-lost"
PLUGGED = {
    "probe": plugged.probe,
    "samples": plugged.samples,
    "back-pressure": plugged.back_pressure,
    "cancel": plugged.cancel,
    "changes": plugged.changes,
}
WITH_LINK = {
    "probe": "answers a probe for each device, and leaves no trace",
    "samples": "hands over samples in their announced shape",
    "back-pressure": "waits while the pipeline is full",
    "cancel": "frees its port within a second of being cancelled",
    "changes": "takes a configuration while it runs, if it says so, at no cost to what stays",
    LINK_LOST: "raises or tells a DriverError when the link is lost",
}
ALL = (*(rule.name for rule in UNPLUGGED), RECORDED.name, *WITH_LINK)


async def conform(name: str, only: Container[str] = ALL) -> AsyncIterator[Outcome]:
    """The outcome of every rule, or of those in `only`, as it is found, for the installed driver `name`.

    Raises:
        PluginError: not installed, or it does not load.
    """
    subject = Subject(name)
    for rule in (*UNPLUGGED, RECORDED):
        if rule.name in only:
            yield await _outcome(rule.name, rule.says, rule.check(subject))
    if not any(plug in only for plug in WITH_LINK):
        return
    if not (subject.folder / "cases" / LIVE / "case.toml").is_file():
        lacks = f"not tried: there is no cases/{LIVE}/case.toml"
        for plug, says in WITH_LINK.items():
            if plug in only:
                yield Outcome(plug, says, (lacks,))
        return
    stand = Stand(subject)
    with ExitStack() as other_side:
        other_side.enter_context(stand.case.counterpart())
        for plug, check in PLUGGED.items():
            if plug in only:
                yield await _outcome(plug, WITH_LINK[plug], check(stand))
        if LINK_LOST in only:
            lost = plugged.link_lost(stand, other_side.close)
            yield await _outcome(LINK_LOST, WITH_LINK[LINK_LOST], lost)


async def _outcome(name: str, says: str, checking: Awaitable[list[str]]) -> Outcome:
    """A driver may raise anything; here it becomes a problem of the rule that met it."""

    async def check() -> list[str]:
        return await checking

    task = asyncio.create_task(check())
    await asyncio.wait([task])
    error = task.exception()
    if error is not None:
        return Outcome(name, says, (f"{type(error).__name__}: {error}",))
    return Outcome(name, says, tuple(dict.fromkeys(task.result())))


async def problems(name: str, only: Container[str] = ALL) -> list[str]:
    """Every breach of every rule, or of those in `only`, for a test of your own: `assert asyncio.run(problems("mine")) == []`."""
    found = [outcome async for outcome in conform(name, only)]
    return [f"{outcome.rule}: {text}" for outcome in found for text in outcome.problems]
