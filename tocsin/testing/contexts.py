"""A driver's surroundings in a test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tocsin.sdk import Sample


def keeping(
    emit: Callable[[Sample], Awaitable[None]],
) -> Callable[[Sequence[Sample]], Awaitable[None]]:
    """`DriverContext.keep` for a test whose `emit` keeps at once."""

    async def keep(samples: Sequence[Sample]) -> None:
        for sample in samples:
            await emit(sample)

    return keep
