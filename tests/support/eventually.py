"""Wait for effects by condition with a deadline, never for a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

DEADLINE_SECONDS = 120.0
"""Far longer than anything takes, so that a busy machine fails no test."""
LOOK_AGAIN_SECONDS = 0.01


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
    end = time.monotonic() + within
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {within} s")
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
