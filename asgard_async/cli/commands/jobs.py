"""The `asgard jobs` command."""

import asyncio
import sys
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from asgard_async.cli.connection import Failure, as_document, client_command
from asgard_async.cli.options import json_option
from asgard_async.cli.output import (
    age,
    cell,
    console,
    duration,
    empty_table,
    print_json,
    print_json_line,
    print_table,
    status_cell,
)

if TYPE_CHECKING:
    from rich.table import Table

    from asgard_async.client import AsyncAsgardClient, Job

REFRESH_SECONDS = 1.0
NO_JOBS = "No matching jobs."
STATUSES = ("queued", "running", "completed", "failed", "cancelled")
LISTED = (
    *("job_id", "script_name", "experiment_name", "model_name", "args", "params"),
    *("status", "phase", "reason"),
    *("created_at", "started_at", "completed_at", "run_id", "model_version", "error", "retry_of"),
    "submitted_by",
)
"""The fields of a job in a list."""


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="Show only jobs with this status.")
@click.option("--experiment", metavar="NAME", help="Show only jobs of this experiment.")
@click.option("--model", metavar="NAME", help="Show only jobs that train this model.")
@click.option("--tag", metavar="K=V", help="Show only jobs with this tag.")
@click.option("--param", metavar="K=V", help="Show only jobs with this parameter.")
@click.option("--arg", metavar="TEXT", help="Show only jobs with this argument (--arg=--fast).")
@click.option("--env", metavar="K", help="Show only jobs with this environment variable.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    metavar="TIME",
    help="Show only jobs submitted after this local time: 2026-01-31 or 2026-01-31T09:00:00.",
)
@click.option("--mine", is_flag=True, help="Show only jobs submitted with your token.")
@click.option("--owner", metavar="NAME", help="Show only jobs submitted with this token.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="Show at most N jobs.",
)
@click.option("--all", "every", is_flag=True, help="Show all jobs, without a limit.")
@click.option("-w", "--watch", is_flag=True, help="Keep the list up to date until Ctrl-C.")
@json_option
@client_command()
async def jobs(
    client: "AsyncAsgardClient",
    *,
    status: str | None,
    experiment: str | None,
    model: str | None,
    tag: str | None,
    param: str | None,
    arg: str | None,
    env: str | None,
    since: datetime | None,
    mine: bool,
    owner: str | None,
    limit: int,
    every: bool,
    watch: bool,
    as_json: bool,
) -> None:
    """List jobs.

    The newest come first. --json prints an array or, with --watch, one line for each new or
    changed job.

    \b
    Examples:
      asgard jobs
      asgard jobs --status failed --since 2026-01-31
      asgard jobs --mine --watch
      asgard jobs --param lr=0.1 --json | jq '.[] | [.job_id, .params.depth]'
      asgard jobs --all --json | jq -r '.[].job_id'
    """
    filters: dict[str, Any] = {
        "status": status,
        "experiment_name": experiment,
        "model_name": model,
        "tags": _pair("--tag", tag),
        "params": _pair("--param", param),
        "arg": arg,
        "environment_var": env,
        "created_after": since.astimezone(UTC) if since else None,
        "mine": mine,
        "owner": owner,
        "limit": None if every else limit,
    }
    if watch:
        await (_print_changes if as_json else _watch)(client, filters)
        return
    matching = await _fetch(client, filters)
    if as_json:
        print_json([_describe(job) for job in matching])
    elif matching:
        print_table(_table(matching))
    else:
        click.echo(NO_JOBS, err=True)


def _pair(option: str, text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise click.BadParameter(f"{text!r} is not of the form K=V.", param_hint=f"'{option}'")
    return {key: value}


async def _fetch(client: "AsyncAsgardClient", filters: dict[str, Any]) -> list["Job"]:
    async with aclosing(client.list(**filters)) as matching:
        return [job async for job in matching]


def _describe(job: "Job") -> dict[str, Any]:
    document = as_document(job)
    return {name: document[name] for name in LISTED}


def _table(matching: list["Job"]) -> "Table":
    table = empty_table("job", "status", "why", "age", "ran", "script", "experiment", "model")
    for job in matching:
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
        raise Failure("--watch needs a terminal; without one, add --json.")
    with Live(
        console=out, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    ) as live:
        while True:
            matching = await _fetch(client, filters)
            live.update(_table(matching) if matching else cell(NO_JOBS), refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)


async def _print_changes(client: "AsyncAsgardClient", filters: dict[str, Any]) -> None:
    printed: dict[str, dict[str, Any]] = {}
    while True:
        documents = {job.job_id: _describe(job) for job in await _fetch(client, filters)}
        for job_id, document in reversed(documents.items()):
            if printed.get(job_id) != document:
                print_json_line(document)
        printed |= documents
        await asyncio.sleep(REFRESH_SECONDS)
