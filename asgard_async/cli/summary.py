"""The summary that `asgard run` prints after the job has ended."""

import sys
from typing import TYPE_CHECKING

from asgard_async.cli.mlflow_run import metrics_of, run_link
from asgard_async.cli.output import cell, duration, multi_line_cell, print_fields, status_cell
from asgard_async.client import AsgardError

if TYPE_CHECKING:
    from rich.text import Text

    from asgard_async.client import AsyncAsgardClient, Job

    Fields = list[tuple[str, Text]]

MAX_METRICS = 12


async def print_summary(client: "AsyncAsgardClient", job: "Job") -> None:
    """Print a finished job's outcome, run, metrics and model version to stderr."""
    fields: Fields = []
    outcome = status_cell(job.status)
    if job.reason and job.reason not in {"succeeded", "cancelled"}:
        outcome.append(f" ({job.reason.replace('_', ' ')})")
    if job.duration_seconds is not None:
        outcome.append(f" after {duration(job.duration_seconds)}")
    fields.append(("job", cell(job.job_id)))
    fields.append(("ended", outcome))
    if job.error and job.reason != "cancelled":
        fields.append(("error", multi_line_cell(job.error)))
    if job.run_id is not None:
        await _add_run(fields, client, job)
    if job.model_version is not None:
        fields.append(("model", cell(f"{job.model_name}, version {job.model_version}")))
    print_fields(fields, sys.stderr)


async def _add_run(fields: "Fields", client: "AsyncAsgardClient", job: "Job") -> None:
    fields.append(("run", cell(job.run_id)))
    try:
        tracking_uri = (await client.status()).mlflow_tracking_uri
    except AsgardError:
        return  # the service has just stopped, but the outcome is already known
    if (link := run_link(tracking_uri, job)) is not None:
        fields.append(("", cell(link)))
    metrics = await metrics_of(tracking_uri, job.run_id or "")
    if metrics:
        texts = [f"{name} = {value:.6g}" for name, value in sorted(metrics.items())]
        if len(texts) > MAX_METRICS:
            texts[MAX_METRICS:] = [f"and {len(texts) - MAX_METRICS} more"]
        fields.append(("metrics", cell(", ".join(texts))))
