"""The `asgard status` command."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import as_document, client_command
from asgard_async.cli.options import json_option
from asgard_async.cli.output import cell, print_fields, print_json, status_cell

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, ServiceStatus


@click.command()
@json_option
@client_command()
async def status(client: "AsyncAsgardClient", *, as_json: bool) -> None:
    """Show service and MLflow status.

    \b
    Examples:
      asgard status
      asgard status --url http://127.0.0.1:8080 --json
    """
    service = await client.status()
    readiness = await client.ready()
    if as_json:
        print_json(
            as_document(service) | {"ready": readiness.ready, "reasons": list(readiness.reasons)}
        )
        return
    accepts_jobs = "yes" if readiness else f"no: {'; '.join(readiness.reasons)}"
    counts = ", ".join(f"{count} {name}" for name, count in service.jobs.items() if count)
    mlflow = status_cell(service.mlflow_api)
    mlflow.append_text(cell(f" at {service.mlflow_tracking_uri}"))
    if service.age_seconds is not None:
        mlflow.append(f", checked {service.age_seconds:.0f} s ago")
    print_fields(
        [
            ("service", cell(f"{client.url}, Asgard {service.version}")),
            ("accepts jobs", cell(accepts_jobs)),
            ("jobs", cell(counts or "none")),
            ("timeout", cell(_timeouts(service))),
            ("MLflow", mlflow),
            ("models", cell(service.registered_models)),
            ("experiments", cell(service.active_experiments)),
        ]
    )


def _timeouts(service: "ServiceStatus") -> str | None:
    bounds = service.timeout
    if bounds is None:
        return None
    return f"{bounds.default} s unless a job asks for another, {bounds.min} to {bounds.max} s"
