"""Wait for effects by condition with a deadline, never for a fixed time."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

DEADLINE_SECONDS = 120.0
"""Far longer than any effect takes, so that no test fails on a busy machine."""
SLOWNESS = float(os.environ.get("ASGARD_TEST_SLOWNESS", "1"))
"""The factor by which all deadlines are longer, for an emulated machine."""
LOOK_AGAIN_SECONDS = 0.01, 0.05
"""The pause between two checks. It grows with the time waited, because checks use processor time
that the awaited effect needs."""


@overload
async def eventually(
    condition: Callable[[], Awaitable[T | None]], *, within: float = ..., what: str = ...
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T | None], *, within: float = ..., what: str = ...
) -> T: ...
async def eventually(
    condition: Callable[[], Any],
    *,
    within: float = DEADLINE_SECONDS,
    what: str = "condition",
) -> Any:
    """Wait for a truthy result of `condition` and return it.

    Raises:
        AssertionError: The condition was not met in time.
    """
    within *= SLOWNESS
    shortest, longest = LOOK_AGAIN_SECONDS
    begun = time.monotonic()
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return result
        waited = time.monotonic() - begun
        if waited > within:
            raise AssertionError(f"{what} did not come true within {within} s")
        await asyncio.sleep(min(max(shortest, waited / 10), longest))
