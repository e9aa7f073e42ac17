"""`asgard logs`."""

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import document, resolve, speaks
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json_line

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, Event


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Begin with the last N lines.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Begin at this byte.")
@click.option("--raw", is_flag=True, help="Pass the log to the terminal unfiltered.")
@json_option
@speaks()
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

    Byte for byte when stdout is no terminal. On one, sequences that would do more to it than
    colours and progress bars need are dropped, unless --raw is given. With --json a line for each
    piece: {"type": "log", "offset", "next", "time", "text"}, where bytes are not kept "gap", and
    with -f "status" for each change and "end".

    \b
    Examples:
      asgard logs 3f9c01ab > log.txt
      asgard logs -f 3f9
      asgard logs -f --tail 20 3f9c01ab
    """
    # imported late: help does without
    from asgard_async.cli.job_view import JobView
    from asgard_async.cli.log_output import LogOutput
    from asgard_async.client import EndEvent

    if tail is not None and offset:
        raise click.UsageError("Give either --tail or --offset.")
    view = JobView(LogOutput(sys.stdout, raw=raw), spins=False)
    events = client.log_events(
        await resolve(client, job_id),
        follow=follow,
        offset=offset,
        tail=tail,
        on_break=view.broken,
    )
    try:
        async with aclosing(events):
            async for event in events:
                if as_json:
                    await view.connected()
                    print_json_line(_described(event))
                elif not isinstance(event, EndEvent):
                    await view.show(event)
    finally:
        if not as_json:
            await view.close()


def _described(event: "Event") -> dict[str, object]:
    from asgard_async.client import EndEvent, GapEvent, LogEvent, StatusEvent

    kinds = {LogEvent: "log", GapEvent: "gap", StatusEvent: "status", EndEvent: "end"}
    described: dict[str, object] = {"type": kinds[type(event)], **document(event)}
    if isinstance(event, LogEvent):
        del described["data"]
        described["text"] = event.text
    return described
