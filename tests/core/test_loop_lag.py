"""What holds the event loop up is measured, and named in the log while it does."""

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

    def accusations() -> list[str]:
        # a busy machine may hold the loop up, too, before the culprit does
        messages = (record.getMessage() for record in caplog.records)
        return [message for message in messages if "task the culprit is at:" in message]

    async def culprit() -> None:
        end = time.monotonic() + 30
        while not accusations() and time.monotonic() < end:
            time.sleep(0.01)  # noqa: ASYNC251  # what is to be found

    with caplog.at_level(logging.WARNING):
        await asyncio.create_task(culprit(), name="the culprit")
    await eventually(lambda: max(seen) >= 0.1, what="its lag is measured")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert "in culprit" in accusations()[0]
