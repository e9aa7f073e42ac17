"""The `asgard wait` command."""

import asyncio
from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import Failure, as_document, client_command, resolve_job_id
from asgard_async.cli.exit_codes import NO_RESULT, exit_code_of
from asgard_async.cli.options import json_option
from asgard_async.cli.output import duration, print_json

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, Job


@click.command()
@click.argument("job_ids", metavar="JOB…", nargs=-1, required=True)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Give up after S seconds; the jobs continue.",
)
@json_option
@client_command(failure_code=NO_RESULT)
async def wait(
    client: "AsyncAsgardClient",
    *,
    job_ids: tuple[str, ...],
    timeout: float | None,  # noqa: ASYNC109  # of the command
    as_json: bool,
) -> None:
    """Wait for jobs to end, and exit as they did.

    Lost connections are restored. Ctrl-C leaves the jobs running.

    \b
    Exit code: that of `asgard run` for the first of the jobs that did not complete, or 0; 125 if
    the jobs have not ended in time, or the service cannot be reached.

    \b
    Examples:
      id=$(asgard run train.py --detach); asgard wait $id
      asgard wait 3f9c01ab 8ab2 --timeout 600
    """
    jobs: list[Job] = []
    try:
        async with asyncio.timeout(timeout):
            for job_id in job_ids:
                jobs.append(await client.wait(await resolve_job_id(client, job_id)))
                if not as_json:
                    click.echo(_outcome(jobs[-1]))
    except TimeoutError:
        raise Failure(_not_ended_message(job_ids[len(jobs) :], timeout), NO_RESULT) from None
    if as_json:
        print_json([as_document(job) for job in jobs])
    raise SystemExit(next((code for job in jobs if (code := exit_code_of(job))), 0))


def _outcome(job: "Job") -> str:
    reason = f" ({job.reason})" if job.reason and not job.succeeded else ""
    after = "" if job.duration_seconds is None else f" after {duration(job.duration_seconds)}"
    return f"{job.job_id}  {job.status}{reason}{after}"


def _not_ended_message(job_ids: tuple[str, ...], timeout: float | None) -> str:
    noun, verb = ("Job", "has") if len(job_ids) == 1 else ("Jobs", "have")
    return f"{noun} {', '.join(job_ids)} {verb} not ended within {timeout:g} s."
