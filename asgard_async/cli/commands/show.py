"""The `asgard show` command."""

import shlex
from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import as_document, client_command, resolve_job_id
from asgard_async.cli.options import json_option
from asgard_async.cli.output import (
    cell,
    duration,
    local_time,
    multi_line_cell,
    print_fields,
    print_json,
    size,
    status_cell,
)
from asgard_async.cli.summary import run_fields
from asgard_async.domain.job import argument_text

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, Job

OWN_LINES = {"script_name", "entrypoint", "experiment_name", "model_name", "warm"}


@click.command()
@click.argument("job_id", metavar="JOB")
@json_option
@client_command()
async def show(client: "AsyncAsgardClient", *, job_id: str, as_json: bool) -> None:
    """Show job details.

    \b
    Examples:
      asgard show 3f9c01ab
      asgard show 3f9 --json | jq .timings
    """
    job = await client.get(await resolve_job_id(client, job_id))
    if as_json:
        print_json(as_document(job))
        return
    status = status_cell(job.status)
    status.append_text(cell(f" ({job.reason or job.phase})"))
    fields = [("job", cell(job.job_id)), ("status", status)]
    for name, value in _fields(job).items():
        if value:
            fields.append((name, multi_line_cell(value) if name == "error" else cell(value)))
    if job.run_id is not None:
        fields += run_fields(job)
    fields += [("runs", cell(f"{run.run_id} {run.status} {run.name or ''}")) for run in job.runs]
    for entry in job.history:
        change = f"{local_time(entry.at)}  {entry.phase}"
        fields.append(("history", cell(f"{change}: {entry.detail}" if entry.detail else change)))
    print_fields(fields)


def _requested_limits(job: "Job") -> list[str]:
    memory, cpus = job.limits.memory_mb, job.limits.cpus
    return [
        *([f"{size(memory << 20)} of memory"] if memory is not None else []),
        *([f"{cpus:g} CPUs"] if cpus is not None else []),
    ]


def _specification(job: "Job") -> dict[str, str | None]:
    """Return the fields of the specification that are set and not listed in OWN_LINES."""
    from asgard_async.client.jobs import Specification

    names = [name for name in Specification.__struct_fields__ if name not in OWN_LINES]
    values = {name: getattr(job, name) for name in names}
    return {name.replace("_", " "): _text(name, value) for name, value in values.items() if value}


def _text(name: str, value: object) -> str | None:
    match value:
        case tuple() if name == "args":
            return shlex.join(value)
        case tuple():
            return ", ".join(value)
        case dict():
            return ", ".join(
                key if text is None else f"{key}={argument_text(text)}"
                for key, text in value.items()
            )
        case int() if name == "timeout":
            return duration(value)
        case _:
            return str(value)


def _fields(job: "Job") -> dict[str, str | None]:
    end = job.signal or (None if job.exit_code is None else f"exit code {job.exit_code}")
    used = [
        f"{size(job.resources.peak_memory_bytes)} of memory"
        if job.resources.peak_memory_bytes is not None
        else "",
        f"{job.resources.cpu_seconds:.1f} s of CPU"
        if job.resources.cpu_seconds is not None
        else "",
    ]
    return {
        "log": None if job.log_kept else "no longer stored",
        "queue": None if job.queue_position is None else f"number {job.queue_position}",
        "script": f"{job.script_name} → {job.entrypoint}" if job.entrypoint else job.script_name,
        "experiment": job.experiment_name,
        "model": f"{job.model_name}, version {job.model_version}"
        if job.model_version
        else job.model_name,
        "error": job.error,
        "end": end,
        "ran": duration(job.duration_seconds),
        "used": ", ".join(filter(None, used)),
        "phases": ", ".join(f"{phase} {duration(s)}" for phase, s in job.timings.items()),
        "created": local_time(job.created_at),
        "started": local_time(job.started_at),
        "completed": local_time(job.completed_at),
        **_specification(job),
        "limits": ", ".join(_requested_limits(job)),
        "start": f"{job.start} ({job.cold_reason})" if job.cold_reason else job.start,
        "isolation": job.isolation,
        "submitted by": job.submitted_by,
        "retry of": job.retry_of,
    }
