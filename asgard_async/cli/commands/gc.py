"""The `asgard gc` command."""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import click

from asgard_async.cli.data_directory import open_data_directory
from asgard_async.cli.options import config_option, data_dir_option, json_option
from asgard_async.cli.sanitiser import one_line
from asgard_async.config import Config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.executors.component import job_files
from asgard_async.mlflow.stored_artifacts import stored_artifacts
from asgard_async.mlflow.wire import ArtifactReport
from asgard_async.retention.collector import Collector
from asgard_async.retention.plan import Removal
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore
from asgard_async.store.migrate import SchemaError


@click.command()
@config_option
@data_dir_option
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, but delete nothing.")
@click.option(
    "--artifacts",
    is_flag=True,
    help="Show what jobs store as artifacts in the embedded MLflow, but delete nothing.",
)
@json_option
def gc(
    file: Path | None, data_dir: str | None, dry_run: bool, artifacts: bool, as_json: bool
) -> None:
    """Delete expired jobs, files and environments.

    The limits are set in [retention] and [environments]. Unfinished jobs are never touched. The
    service runs the same clean-up every [retention] check_hours; both can run at the same time.

    Artifacts in MLflow are never deleted here: delete runs and models there.

    \b
    Examples:
      asgard gc --dry-run
      asgard gc --artifacts
      ASGARD_RETENTION__DIRECTORIES_DAYS=1 asgard gc
    """
    config, data = open_data_directory(file, data_dir)
    if not data.database.exists():
        raise click.ClickException(f"There is no database in {data.root}; see --data-dir")
    if artifacts:
        _show_artifacts(asyncio.run(stored_artifacts(data)), as_json=as_json)
        return
    try:
        removals = asyncio.run(_collect(config, data, dry_run=dry_run))
    except (SchemaError, OSError, sqlite3.Error) as error:
        raise click.ClickException(f"{data.database}: {error}") from error
    if as_json:
        click.echo(json.dumps([_describe(removal) for removal in removals], indent=2))
        return
    for removal in removals:
        size = f"{removal.size_bytes / 1e6:.1f} MB"
        click.echo(f"{removal.kind:<11}  {removal.name:<16}  {size:>12}  {removal.why}")
    _summarise(removals, dry_run=dry_run)
    if (report := asyncio.run(stored_artifacts(data))) is not None and report.accounts:
        size = f"{report.total_bytes / 1e6:.1f} MB"
        click.echo(f"Artifacts in MLflow: {size}, never deleted here; see asgard gc --artifacts.")


def _summarise(removals: Sequence[Removal], *, dry_run: bool) -> None:
    if not removals:
        click.echo("Nothing to delete.")
        return
    items = f"{len(removals)} {'item' if len(removals) == 1 else 'items'}"
    total = f"{sum(removal.size_bytes for removal in removals) / 1e6:.1f} MB"
    click.echo(f"{'Would delete' if dry_run else 'Deleted'} {items} ({total}).")


def _show_artifacts(report: ArtifactReport | None, *, as_json: bool) -> None:
    if report is None:
        raise click.ClickException(
            "The embedded MLflow, which counts artifacts, is not running here; start the service"
        )
    if as_json:
        accounts = [
            {"kind": "artifacts", "name": account.name, "size_bytes": account.size_bytes}
            for account in report.accounts
        ]
        click.echo(json.dumps(accounts, indent=2))
        return
    for account in report.accounts:
        # not from a job's own files, but from a server that acts for jobs
        name = one_line(account.name)
        click.echo(f"artifacts    {name:<20}  {account.size_bytes / 1e6:>9.1f} MB")
    click.echo(f"Artifacts in MLflow: {report.total_bytes / 1e6:.1f} MB; delete runs there.")


async def _collect(config: Config, data: DataDirectory, *, dry_run: bool) -> Sequence[Removal]:
    async with Database(data.database, migrates=False) as database:
        collector = Collector(
            store=JobStore(database),
            archives=ArchiveStore(data.archives),
            files=job_files(data),
            retention=config.retention,
            environments=config.environments,
        )
        return await collector.find() if dry_run else await collector.collect()


def _describe(removal: Removal) -> dict[str, str | int]:
    return {
        "kind": removal.kind.value,
        "name": removal.name,
        "size_bytes": removal.size_bytes,
        "why": removal.why,
    }
