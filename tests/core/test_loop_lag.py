"""Event loop lag is measured, and the code that blocks the loop is logged while it does."""

import asyncio
import logging
import time

import pytest

from asgard_async.core.loop_lag import LoopLag
from tests.support.eventually import eventually


async def test_the_code_that_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[float] = []
    watching = asyncio.create_task(LoopLag(warn_seconds=0.1, observe=seen.append).run())
    await eventually(lambda: seen, what="a lag is measured")

    def reports() -> list[str]:
        # on a busy machine, the loop may lag before the culprit blocks it
        messages = (record.getMessage() for record in caplog.records)
        return [message for message in messages if "task the culprit is at:" in message]

    async def culprit() -> None:
        end = time.monotonic() + 3
        while not reports() and time.monotonic() < end:
            time.sleep(0.01)  # noqa: ASYNC251  # the blocking call under test

    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            await asyncio.create_task(culprit(), name="the culprit")
            if reports():
                break
            # the block was part of an earlier one, which is reported once: let the loop go on
            count = len(seen)
            await eventually(lambda: len(seen) > count, what="the loop goes on")  # noqa: B023
    await eventually(lambda: max(seen) >= 0.1, what="its lag is measured")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert "in culprit" in reports()[0]
