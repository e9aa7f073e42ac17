"""The `asgard retry` command."""

from typing import TYPE_CHECKING, Unpack

import click

from asgard_async.cli.connection import as_document, client_command, resolve_job_id
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json
from asgard_async.cli.submission_options import SubmissionOptions, fields_of, submission_options

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient


@click.command()
@click.argument("job_id", metavar="JOB")
@click.argument("arguments", nargs=-1, metavar="[-- ARGS…]")
@submission_options(experiment="the job's", model="the job's", timeout="the job's")
@json_option
@client_command()
async def retry(
    client: "AsyncAsgardClient",
    *,
    job_id: str,
    arguments: tuple[str, ...],
    as_json: bool,
    **options: Unpack[SubmissionOptions],
) -> None:
    """Submit a job again as a new job, with changes if any.

    The new job has the same script and settings, but for what the options change: --env, --param
    and --tag add to the job's own or replace them by name; -r and --requirements replace its
    requirements, and arguments after -- its arguments. Prints the new job's ID.

    Only administrators may retry the job of another token. The new job then lacks its environment
    variables, which may be secrets.

    \b
    Examples:
      asgard logs -f $(asgard retry 3f9c01ab)
      asgard retry 3f9c01ab --env TREES=80 --timeout 900 -- --lr 0.1
    """
    job_id = await resolve_job_id(client, job_id)
    job = await client.retry(job_id, **fields_of(options, arguments))
    if job.omitted:
        names = ", ".join(job.omitted)
        click.echo(f"Left out, since another token submitted the job: {names}.", err=True)
    if as_json:
        print_json(as_document(job))
    else:
        click.echo(job.job_id)
