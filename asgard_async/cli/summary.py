"""The summary that `asgard run` prints after the job has ended."""

import sys
from typing import TYPE_CHECKING

from asgard_async.cli.output import cell, duration, multi_line_cell, print_fields, status_cell
from asgard_async.client.jobs import metrics_text

if TYPE_CHECKING:
    from rich.text import Text

    from asgard_async.client import Job

    Fields = list[tuple[str, Text]]


def print_summary(job: "Job") -> None:
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
        fields += run_fields(job)
    if job.model_version is not None:
        fields.append(("model", cell(f"{job.model_name}, version {job.model_version}")))
    print_fields(fields, sys.stderr)


def run_fields(job: "Job") -> "Fields":
    """Return the job's run in MLflow, with its page and its metrics."""
    fields = [("run", cell(job.run_id))]
    if job.run_url is not None:
        fields.append(("", cell(job.run_url)))
    if (metrics := metrics_text(job.metrics)) is not None:
        fields.append(("metrics", cell(metrics)))
    return fields
