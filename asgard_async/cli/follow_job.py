"""Stay with a job up to its end, or until the user wants to go."""

import asyncio
from contextlib import aclosing

from asgard_async.cli.interrupts import Interrupts, Wish
from asgard_async.cli.job_view import JobView
from asgard_async.client import AsyncAsgardClient, Job


async def follow_job(client: AsyncAsgardClient, job_id: str, view: JobView) -> Job | None:
    """Show a job's life. The job as it ended, or None when the user has detached.

    Raises:
        AsgardError: the job was deleted, or the service was away for too long.
        OSError: the log cannot be written any more.
    """
    interrupts = Interrupts(view)
    with interrupts.caught():
        ended = asyncio.create_task(_show(client, job_id, view))
        tasks: set[asyncio.Task[Job | None]] = {ended}
        try:
            while True:
                wished = asyncio.create_task(interrupts.next_wish())
                try:
                    await asyncio.wait({ended, wished}, return_when=asyncio.FIRST_COMPLETED)
                    if ended.done():
                        return ended.result()
                    wish = wished.result()
                finally:
                    wished.cancel()
                    await asyncio.gather(wished, return_exceptions=True)
                if wish is Wish.DETACH:
                    return None
                if wish is Wish.CANCEL:
                    tasks.add(asyncio.create_task(_cancel(client, job_id, view)))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _show(client: AsyncAsgardClient, job_id: str, view: JobView) -> Job:
    events = client.log_events(job_id, follow=True, on_break=view.broken)
    async with aclosing(events):
        async for event in events:
            await view.show(event)
    return await client.wait(job_id)


async def _cancel(client: AsyncAsgardClient, job_id: str, view: JobView) -> None:
    from asgard_async.client import AsgardError

    await view.note("Cancelling the job …")
    try:
        await client.cancel(job_id)
    except AsgardError as error:
        await view.note(f"It could not be cancelled: {error}")
