"""`asgard retry`."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import document, resolve, speaks
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient


@click.command()
@click.argument("job_id", metavar="JOB")
@json_option
@speaks()
async def retry(client: "AsyncAsgardClient", *, job_id: str, as_json: bool) -> None:
    """Run a job again, as a new one.

    Prints the id of the new job, whose script and settings are the same.

    \b
    Example:
      asgard logs -f $(asgard retry 3f9c01ab)
    """
    job = await client.retry(await resolve(client, job_id))
    if as_json:
        print_json(document(job))
    else:
        click.echo(job.job_id)
