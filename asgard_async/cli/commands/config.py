"""The `asgard config` command."""

import dataclasses
from pathlib import Path

import click

from asgard_async.cli.options import config_option, load_or_exit
from asgard_async.config import SECTIONS, ConfigError, redacted
from asgard_async.mlflow.artifact_store import check_destination


@click.group()
def config() -> None:
    """Check the configuration, and show its values."""


@config.command()
@config_option
def check(file: Path | None) -> None:
    """Validate the configuration and print every setting with its source.

    \b
    Examples:
      asgard config check
      asgard config check --config /etc/asgard/config.toml
      ASGARD_JOBS__MAX_CONCURRENT_JOBS=4 asgard config check
    """
    loaded = load_or_exit(file)
    try:
        check_destination(loaded)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    for warning in loaded.warnings:
        click.echo(f"Warning: {warning}", err=True)
    for section in SECTIONS:
        click.echo(f"[{section}]")
        values = getattr(loaded, section)
        for field in dataclasses.fields(values):
            value = redacted(field.name, getattr(values, field.name))
            source = loaded.sources.get(f"{section}.{field.name}", "default")
            click.echo(f"  {field.name} = {value}  ({source})")
    click.echo("The configuration is valid.")
