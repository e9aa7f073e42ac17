"""The `asgard cancel` command."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import as_document, client_command
from asgard_async.cli.for_each_job import exit_unless, for_each_job
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, Job


@click.command()
@click.argument("job_ids", metavar="JOB…", nargs=-1, required=True)
@json_option
@client_command()
async def cancel(client: "AsyncAsgardClient", *, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel queued or running jobs.

    A running script gets SIGTERM and a few seconds to exit before it is killed. Finished jobs do
    not change.

    \b
    Examples:
      asgard cancel 3f9c01ab
      asgard cancel 3f9 8ab2      # a unique prefix of the ID is enough
    """

    async def cancel_and_report(job_id: str) -> "Job":
        job = await client.cancel(job_id)
        if not as_json:
            if job.status in {"completed", "failed"}:
                click.echo(f"Job {job.job_id} has already {job.status}.")
            else:
                click.echo(f"Cancelled job {job.job_id}.")
        return job

    jobs, succeeded = await for_each_job(client, job_ids, cancel_and_report)
    if as_json:
        print_json([as_document(job) for job in jobs])
    exit_unless(succeeded)
