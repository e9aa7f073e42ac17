"""`asgard jobs`."""

import asyncio
import sys
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from asgard_async.cli.connection import Failure, document, speaks
from asgard_async.cli.options import json_option
from asgard_async.cli.output import (
    age,
    cell,
    columns,
    console,
    duration,
    print_json,
    print_json_line,
    print_table,
    status_cell,
)

if TYPE_CHECKING:
    from rich.table import Table

    from asgard_async.client import AsyncAsgardClient, Job

LOOK_AGAIN_SECONDS = 1.0
STATUSES = ("queued", "running", "completed", "failed", "cancelled")
LISTED = (
    *("job_id", "script_name", "experiment_name", "model_name", "status", "phase", "reason"),
    *("created_at", "started_at", "completed_at", "run_id", "model_version", "error", "retry_of"),
)
"""What is known of a job in a list."""


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--experiment", help="Only of this experiment.")
@click.option("--model", help="Only for this model.")
@click.option("--tag", metavar="K=V", help="Only with this tag.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="Only those made after this time, in your time zone.",
)
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--all", "every", is_flag=True, help="Without a limit.")
@click.option("-w", "--watch", is_flag=True, help="Go on until Ctrl-C, showing what changes.")
@json_option
@speaks()
async def jobs(
    client: "AsyncAsgardClient",
    *,
    status: str | None,
    experiment: str | None,
    model: str | None,
    tag: str | None,
    since: datetime | None,
    limit: int,
    every: bool,
    watch: bool,
    as_json: bool,
) -> None:
    """List jobs.

    Newest first. --json prints an array, and with --watch a line for each job that is new or has
    changed.

    \b
    Examples:
      asgard jobs
      asgard jobs --status failed --since 2026-01-31
      asgard jobs --watch
      asgard jobs --all --json | jq -r '.[].job_id'
    """
    key, equals, value = (tag or "").partition("=")
    if tag is not None and not (key and equals):
        raise click.BadParameter(f"{tag!r} is not K=V.", param_hint="'--tag'")
    filters: dict[str, Any] = {
        "status": status,
        "experiment_name": experiment,
        "model_name": model,
        "tags": {key: value} if tag else None,
        "created_after": since.astimezone(UTC) if since else None,
        "limit": None if every else limit,
    }
    if watch:
        await (_print_changes if as_json else _watch)(client, filters)
        return
    found = await _listed(client, filters)
    if as_json:
        print_json([_described(job) for job in found])
    elif found:
        print_table(_table(found))
    else:
        click.echo("There are none.", err=True)


async def _listed(client: "AsyncAsgardClient", filters: dict[str, Any]) -> list["Job"]:
    async with aclosing(client.list(**filters)) as listed:
        return [job async for job in listed]


def _described(job: "Job") -> dict[str, Any]:
    known = document(job)
    return {name: known[name] for name in LISTED}


def _table(listed: list["Job"]) -> "Table":
    table = columns("job", "status", "why", "age", "ran", "script", "experiment", "model")
    for job in listed:
        ran = None
        if job.started_at is not None:
            ran = ((job.completed_at or datetime.now(UTC)) - job.started_at).total_seconds()
        why = job.reason if job.status == "failed" else job.phase
        table.add_row(
            cell(job.job_id),
            status_cell(job.status),
            cell("" if why in {"finished", job.status} else why),
            cell(age(job.created_at)),
            cell(duration(ran)),
            cell(job.script_name),
            cell(job.experiment_name),
            cell(job.model_name + (f" v{job.model_version}" if job.model_version else "")),
        )
    return table


async def _watch(client: "AsyncAsgardClient", filters: dict[str, Any]) -> None:
    from rich.live import Live

    out = console(sys.stdout)
    if not out.is_terminal:
        raise Failure("--watch needs a terminal; for a program, add --json.")
    with Live(
        console=out, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    ) as live:
        while True:
            found = await _listed(client, filters)
            live.update(_table(found) if found else cell("There are none."), refresh=True)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def _print_changes(client: "AsyncAsgardClient", filters: dict[str, Any]) -> None:
    known: dict[str, dict[str, Any]] = {}
    while True:
        told = {job.job_id: _described(job) for job in await _listed(client, filters)}
        for job_id, described in reversed(told.items()):
            if known.get(job_id) != described:
                print_json_line(described)
        known |= told
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
