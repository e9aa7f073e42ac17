"""`asgard models`."""

from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import document, speaks
from asgard_async.cli.options import json_option
from asgard_async.cli.output import age, cell, columns, print_json, print_table

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, RegisteredModel


@click.command()
@click.argument("name", required=False)
@json_option
@speaks()
async def models(client: "AsyncAsgardClient", *, name: str | None, as_json: bool) -> None:
    """List registered models.

    With NAME only that one.

    \b
    Examples:
      asgard models
      asgard models churn --json
    """
    found = await client.models() if name is None else (await client.model(name),)
    if as_json:
        print_json([document(model) for model in found] if name is None else document(found[0]))
        return
    if not found:
        click.echo("There are none. A completed job's model is registered by itself.", err=True)
        return
    table = columns("model", "version", "changed", "run", "aliases", "description")
    for model in found:
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
    return ", ".join(sorted(name for name, of in model.aliases.items() if of == version))
