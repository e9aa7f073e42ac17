"""The `asgard models` command."""

from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import as_document, client_command
from asgard_async.cli.options import json_option
from asgard_async.cli.output import age, cell, empty_table, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table

    from asgard_async.client import AsyncAsgardClient, ModelVersion, RegisteredModel


@click.command()
@click.argument("name", required=False)
@json_option
@client_command()
async def models(client: "AsyncAsgardClient", *, name: str | None, as_json: bool) -> None:
    """List registered models.

    With NAME, list all versions of that model; otherwise only the newest of each.

    \b
    Examples:
      asgard models
      asgard models churn
      asgard models churn --json
    """
    if name is not None:
        await _print_model(client, name, as_json=as_json)
        return
    registered = await client.models()
    if as_json:
        print_json([as_document(model) for model in registered])
    elif registered:
        print_table(_table((model, model.latest_versions) for model in registered))
    else:
        click.echo(
            "No models yet; the model of a completed job is registered automatically.", err=True
        )


async def _print_model(client: "AsyncAsgardClient", name: str, *, as_json: bool) -> None:
    model = await client.model(name)
    async with aclosing(client.model_versions(name)) as found:
        versions = [version async for version in found]
    if as_json:
        print_json(as_document(model) | {"versions": [as_document(one) for one in versions]})
    else:
        print_table(_table([(model, versions)]))


def _table(rows: "Iterable[tuple[RegisteredModel, Sequence[ModelVersion]]]") -> "Table":
    table = empty_table("model", "version", "updated", "run", "aliases", "description")
    for model, versions in rows:
        for version in versions or (None,):
            table.add_row(
                cell(model.name),
                cell(version and version.version),
                cell(age((version or model).updated_at)),
                cell(version and version.run_id),
                cell(_aliases(model, version.version if version else None)),
                cell((version and version.description) or model.description),
            )
    return table


def _aliases(model: "RegisteredModel", version: str | None) -> str:
    return ", ".join(sorted(alias for alias, target in model.aliases.items() if target == version))
