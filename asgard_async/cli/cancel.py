"""`asgard cancel`."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import document, resolve, speaks
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient


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
    jobs = [await client.cancel(await resolve(client, job_id)) for job_id in job_ids]
    if as_json:
        print_json([document(job) for job in jobs])
        return
    for job in jobs:
        what = f"has {job.status}" if job.status in {"completed", "failed"} else "is cancelled"
        click.echo(f"{job.job_id} {what}")
