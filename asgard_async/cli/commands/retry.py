"""The `asgard retry` command."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import as_document, client_command, resolve_job_id
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient


@click.command()
@click.argument("job_id", metavar="JOB")
@json_option
@client_command()
async def retry(client: "AsyncAsgardClient", *, job_id: str, as_json: bool) -> None:
    """Submit a job again as a new job.

    The new job has the same script and settings. Prints its ID.

    Only administrators may retry the job of another token. The new job then lacks its environment
    variables, which may be secrets.

    \b
    Example:
      asgard logs -f $(asgard retry 3f9c01ab)
    """
    job = await client.retry(await resolve_job_id(client, job_id))
    if job.omitted:
        names = ", ".join(job.omitted)
        click.echo(f"Left out, since another token submitted the job: {names}.", err=True)
    if as_json:
        print_json(as_document(job))
    else:
        click.echo(job.job_id)
