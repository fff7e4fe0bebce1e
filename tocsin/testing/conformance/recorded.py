"""The rule of the cases: recorded input through the real port gives the samples, or the error, that are written beside it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from tocsin.errors import DriverError, TocsinError
from tocsin.testing.conformance.case import Case, same, told
from tocsin.testing.conformance.subject import Subject
from tocsin.testing.conformance.surroundings import Surroundings
from tocsin.testing.waiting import wait_until

_PATIENCE_S = 20.0
_END_S = 2.0
_SURPLUS_S = 0.3  # for what comes beyond what is expected


async def cases(subject: Subject) -> list[str]:
    """What is wrong with any of the driver's cases."""
    found = []
    for folder in subject.cases():
        found += [f"case {folder.name}: {text}" for text in await run_case(folder, subject)]
    return found


async def run_case(folder: Path, subject: Subject) -> list[str]:
    """What is wrong with one case."""
    case = Case(folder, subject.kind)
    expect = case.file.expect
    around = Surroundings(folder.name)
    try:
        driver = case.driver(around.context)
    except (ValidationError, TocsinError, ValueError) as exc:
        if expect.refused and expect.refused in str(exc):
            return []
        return [f"its configuration is refused: {exc}"]
    if expect.refused:
        return ["its configuration is taken"]
    wanted = case.samples

    def reached() -> bool:
        if expect.error:
            return any(expect.error in error.message for _, error in around.errors)
        enough = wanted is None or len(around.samples) >= len(wanted)
        return enough and all(around.counts[k] >= n for k, n in expect.counts.items())

    with case.counterpart():
        task = asyncio.create_task(driver.run())
        with suppress(TimeoutError):
            await wait_until(lambda: task.done() or reached(), _PATIENCE_S)
    # the other side has gone: what the driver still held comes now
    await asyncio.wait([task], timeout=_SURPLUS_S if reached() else _END_S)
    task.cancel()
    await asyncio.wait([task], timeout=_END_S)
    if not task.done():
        return ["run() does not end when it is cancelled"]
    return _judge(case, around, None if task.cancelled() else task.exception())


def _judge(case: Case, around: Surroundings, raised: BaseException | None) -> list[str]:
    """What came of it against what is expected."""
    expect = case.file.expect
    if expect.error:
        messages = [error.message for _, error in around.errors]
        messages += [raised.message] if isinstance(raised, DriverError) else []
        if any(expect.error in message for message in messages):
            return []
        return [f"no error says {expect.error!r}; said: {messages}"]
    if raised is not None and not isinstance(raised, DriverError):
        return [f"run() raises {raised!r}"]
    got = [told(sample) for sample in around.samples]
    found = [
        f"counter {name} is {around.counts[name]}, not {n}"
        for name, n in expect.counts.items()
        if around.counts[name] != n
    ]
    if case.samples is not None and not same(got, case.samples):
        found.append("expected.json is not what came: " + json.dumps(got, ensure_ascii=False))
    return found
