"""The `asgard rm` command."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import client_command
from asgard_async.cli.for_each_job import exit_unless, for_each_job
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient


@click.command()
@click.argument("job_ids", metavar="JOB…", nargs=-1, required=True)
@json_option
@client_command()
async def rm(client: "AsyncAsgardClient", *, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Delete finished jobs with their logs and files.

    Their MLflow runs and registered models are kept.

    \b
    Examples:
      asgard rm 3f9c01ab
      asgard rm $(asgard jobs --status failed --json | jq -r '.[].job_id')
    """

    async def delete_and_report(job_id: str) -> str:
        await client.delete(job_id)
        if not as_json:
            click.echo(f"Deleted job {job_id}.")
        return job_id

    deleted, succeeded = await for_each_job(client, job_ids, delete_and_report)
    if as_json:
        print_json(deleted)
    exit_unless(succeeded)
