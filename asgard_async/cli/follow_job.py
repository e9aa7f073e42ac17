"""Following a job until it ends or the user detaches."""

import asyncio
from contextlib import aclosing

from asgard_async.cli.interrupts import Action, Interrupts
from asgard_async.cli.job_view import JobView
from asgard_async.client import AsgardError, AsyncAsgardClient, Job


async def follow_job(client: AsyncAsgardClient, job_id: str, view: JobView) -> Job | None:
    """Show a job's progress. Return the finished job, or None if the user has detached.

    Raises:
        AsgardError: the job was deleted, or the service was unreachable for too long.
        OSError: the log can no longer be written.
    """
    interrupts = Interrupts(view)
    with interrupts.handled():
        following = asyncio.create_task(_show(client, job_id, view))
        tasks: set[asyncio.Task[Job | None]] = {following}
        try:
            while True:
                interrupt = asyncio.create_task(interrupts.next_action())
                try:
                    await asyncio.wait({following, interrupt}, return_when=asyncio.FIRST_COMPLETED)
                    if following.done():
                        return following.result()
                    action = interrupt.result()
                finally:
                    interrupt.cancel()
                    await asyncio.gather(interrupt, return_exceptions=True)
                if action is Action.DETACH:
                    return None
                if action is Action.CANCEL:
                    tasks.add(asyncio.create_task(_cancel(client, job_id, view)))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _show(client: AsyncAsgardClient, job_id: str, view: JobView) -> Job:
    events = client.log_events(job_id, follow=True, on_break=view.connection_lost)
    async with aclosing(events):
        async for event in events:
            await view.show(event)
    return await client.wait(job_id)


async def _cancel(client: AsyncAsgardClient, job_id: str, view: JobView) -> None:
    await view.note("Cancelling the job…")
    try:
        await client.cancel(job_id)
    except AsgardError as error:
        await view.note(f"The job could not be cancelled: {error}")
