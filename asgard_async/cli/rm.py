"""`asgard rm`."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import resolve, speaks
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient


@click.command()
@click.argument("job_ids", metavar="JOB…", nargs=-1, required=True)
@json_option
@speaks()
async def rm(client: "AsyncAsgardClient", *, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Forget finished jobs with their logs and files.

    Their MLflow runs and models stay.

    \b
    Examples:
      asgard rm 3f9c01ab
      asgard rm $(asgard jobs --status failed --json | jq -r '.[].job_id')
    """
    removed = []
    for given in job_ids:
        job_id = await resolve(client, given)
        await client.delete(job_id)
        removed.append(job_id)
        if not as_json:
            click.echo(f"{job_id} is gone")
    if as_json:
        print_json(removed)
