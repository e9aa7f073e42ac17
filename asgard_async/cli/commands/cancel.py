"""`asgard cancel`."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import document, speaks
from asgard_async.cli.each_job import exit_unless, for_each_job
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, Job


@click.command()
@click.argument("job_ids", metavar="JOB…", nargs=-1, required=True)
@json_option
@speaks()
async def cancel(client: "AsyncAsgardClient", *, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel jobs, queued or running.

    The script gets SIGTERM and some seconds to end. A job that has ended stays as it is.

    \b
    Examples:
      asgard cancel 3f9c01ab
      asgard cancel 3f9 8ab2      # the beginning of an id is enough
    """

    async def cancel_one(job_id: str) -> "Job":
        job = await client.cancel(job_id)
        if not as_json:
            what = f"has {job.status}" if job.status in {"completed", "failed"} else "is cancelled"
            click.echo(f"{job.job_id} {what}")
        return job

    jobs, complete = await for_each_job(client, job_ids, cancel_one)
    if as_json:
        print_json([document(job) for job in jobs])
    exit_unless(complete)
