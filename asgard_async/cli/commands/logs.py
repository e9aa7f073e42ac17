"""The `asgard logs` command."""

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import (
    Failure,
    as_document,
    client_command,
    explain,
    resolve_job_id,
)
from asgard_async.cli.exit_codes import NO_RESULT, exit_code_of
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json_line

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, Event

NOT_KEPT = (
    "The log is no longer stored: [retention] deleted it, or it was lost or not restored with the"
    " database."
)


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("-f", "--follow", is_flag=True, help="Follow the log until the job ends.")
@click.option(
    "-n", "--tail", type=click.IntRange(min=0), metavar="N", help="Start with the last N lines."
)
@click.option(
    "--offset", type=click.IntRange(min=0), default=0, metavar="BYTE", help="Start at this byte."
)
@click.option("--raw", is_flag=True, help="Do not filter control sequences on a terminal.")
@json_option
@client_command()
async def logs(
    client: "AsyncAsgardClient",
    *,
    job_id: str,
    follow: bool,
    tail: int | None,
    offset: int,
    raw: bool,
    as_json: bool,
) -> None:
    """Print a job's log.

    With -f the exit code is that of `asgard run`: the script's, 124 after a timeout, 130 if the job
    was cancelled, 125 if the outcome is unknown.

    Prints the exact bytes unless stdout is a terminal. On a terminal, control sequences other than
    those of colours and progress bars are dropped; --raw keeps them.

    --json prints one line per piece: {"type": "log", "offset", "next", "time", "text"}, or "gap"
    for dropped bytes. With -f it also prints "status" for each change and, last, "end".

    \b
    Examples:
      asgard logs 3f9c01ab > log.txt
      asgard logs -f 3f9
      asgard logs -f --tail 20 3f9c01ab
    """
    # imported late: help works without it
    from asgard_async.cli.job_view import JobView
    from asgard_async.cli.log_output import LogOutput
    from asgard_async.client import AsgardError, EndEvent

    if tail is not None and offset:
        raise click.UsageError("--tail and --offset cannot be combined.")
    try:
        job_id = await resolve_job_id(client, job_id)
        view = JobView(LogOutput(sys.stdout, raw=raw), spins=False)
        events = client.log_events(
            job_id, follow=follow, offset=offset, tail=tail, on_break=view.connection_lost
        )
        try:
            async with aclosing(events):
                async for event in events:
                    if as_json:
                        await view.connection_works()
                        print_json_line(_describe(event))
                    elif not isinstance(event, EndEvent):
                        await view.show(event)
                    if isinstance(event, EndEvent) and not event.log_kept:
                        await view.note(NOT_KEPT)
        finally:
            if not as_json:
                await view.close()
        if follow:
            raise SystemExit(exit_code_of(await client.wait(job_id)))
    except AsgardError as error:
        if follow:  # 1 could be the script's exit code
            raise Failure(await explain(error, client), NO_RESULT) from error
        raise


def _describe(event: "Event") -> dict[str, object]:
    from asgard_async.client import EndEvent, GapEvent, LogEvent, StatusEvent

    types = {LogEvent: "log", GapEvent: "gap", StatusEvent: "status", EndEvent: "end"}
    document: dict[str, object] = {"type": types[type(event)], **as_document(event)}
    if isinstance(event, LogEvent):
        del document["data"]
        document["text"] = event.text
    return document
