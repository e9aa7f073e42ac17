"""What `asgard run` says when the job has ended."""

import sys
from typing import TYPE_CHECKING

from asgard_async.cli.mlflow_run import metrics_of, run_link
from asgard_async.cli.output import cell, duration, lines, print_facts, status_cell
from asgard_async.client import AsgardError

if TYPE_CHECKING:
    from rich.text import Text

    from asgard_async.client import AsyncAsgardClient, Job

    Facts = list[tuple[str, Text]]

MOST_METRICS = 12


async def print_summary(client: "AsyncAsgardClient", job: "Job") -> None:
    """Print it to stderr: how the job ended, its run, its metrics, its model."""
    facts: Facts = []
    head = status_cell(job.status)
    if job.reason and job.reason not in {"succeeded", "cancelled"}:
        head.append(f" ({job.reason.replace('_', ' ')})")
    if job.duration_seconds is not None:
        head.append(f" after {duration(job.duration_seconds)}")
    facts.append(("job", cell(job.job_id)))
    facts.append(("ended", head))
    if job.error and job.reason != "cancelled":
        facts.append(("error", lines(job.error)))
    if job.run_id is not None:
        await _add_run(facts, client, job)
    if job.model_version is not None:
        facts.append(("model", cell(f"{job.model_name}, version {job.model_version}")))
    print_facts(facts, sys.stderr)


async def _add_run(facts: "Facts", client: "AsyncAsgardClient", job: "Job") -> None:
    facts.append(("run", cell(job.run_id)))
    try:
        tracking_uri = (await client.status()).mlflow_tracking_uri
    except AsgardError:
        return  # it has just gone; the job's end is known all the same
    if (link := run_link(tracking_uri, job)) is not None:
        facts.append(("", cell(link)))
    metrics = await metrics_of(tracking_uri, job.run_id or "")
    if metrics:
        told = [f"{name} = {value:.6g}" for name, value in sorted(metrics.items())]
        if len(told) > MOST_METRICS:
            told[MOST_METRICS:] = [f"and {len(told) - MOST_METRICS} more"]
        facts.append(("metrics", cell(", ".join(told))))
