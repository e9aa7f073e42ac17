"""`asgard rm`."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import speaks
from asgard_async.cli.each_job import exit_unless, for_each_job
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

    async def remove_one(job_id: str) -> str:
        await client.delete(job_id)
        if not as_json:
            click.echo(f"{job_id} is gone")
        return job_id

    removed, complete = await for_each_job(client, job_ids, remove_one)
    if as_json:
        print_json(removed)
    exit_unless(complete)
