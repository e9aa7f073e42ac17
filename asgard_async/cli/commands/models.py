"""The `asgard models` command."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import as_document, client_command
from asgard_async.cli.options import json_option
from asgard_async.cli.output import age, cell, empty_table, print_json, print_table

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, RegisteredModel


@click.command()
@click.argument("name", required=False)
@json_option
@client_command()
async def models(client: "AsyncAsgardClient", *, name: str | None, as_json: bool) -> None:
    """List registered models.

    With NAME, show only that model.

    \b
    Examples:
      asgard models
      asgard models churn --json
    """
    registered = await client.models() if name is None else (await client.model(name),)
    if as_json:
        documents = [as_document(model) for model in registered]
        print_json(documents if name is None else documents[0])
        return
    if not registered:
        click.echo(
            "No models yet; the model of a completed job is registered automatically.", err=True
        )
        return
    table = empty_table("model", "version", "updated", "run", "aliases", "description")
    for model in registered:
        for version in model.latest_versions or (None,):
            table.add_row(
                cell(model.name),
                cell(version and version.version),
                cell(age((version or model).updated_at)),
                cell(version and version.run_id),
                cell(_aliases(model, version.version if version else None)),
                cell((version and version.description) or model.description),
            )
    print_table(table)


def _aliases(model: "RegisteredModel", version: str | None) -> str:
    return ", ".join(sorted(alias for alias, target in model.aliases.items() if target == version))
