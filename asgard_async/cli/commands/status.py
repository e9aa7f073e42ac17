"""`asgard status`."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import document, speaks
from asgard_async.cli.options import json_option
from asgard_async.cli.output import cell, print_facts, print_json, status_cell

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient


@click.command()
@json_option
@speaks()
async def status(client: "AsyncAsgardClient", *, as_json: bool) -> None:
    """Show how the service and its MLflow are.

    \b
    Examples:
      asgard status
      asgard status --url http://127.0.0.1:8080 --json
    """
    state = await client.status()
    ready = await client.ready()
    if as_json:
        print_json(document(state) | {"ready": ready.ready, "reasons": list(ready.reasons)})
        return
    facts = [("service", cell(f"{client.url}, Asgard {state.version}"))]
    facts.append(("takes jobs", cell("yes" if ready else f"no: {'; '.join(ready.reasons)}")))
    counts = ", ".join(f"{count} {name}" for name, count in state.jobs.items() if count)
    facts.append(("jobs", cell(counts or "none")))
    mlflow = status_cell(state.mlflow_api)
    mlflow.append_text(cell(f" at {state.mlflow_tracking_uri}"))
    if state.age_seconds is not None:
        mlflow.append(f", asked {state.age_seconds:.0f} s ago")
    facts.append(("MLflow", mlflow))
    facts.append(("models", cell(state.registered_models)))
    facts.append(("experiments", cell(state.active_experiments)))
    print_facts(facts)
