"""`asgard gc`: throw away what [retention] says, now."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import click

from asgard_async.cli.options import config_option, data_dir_option, json_option, load_or_exit
from asgard_async.config import Config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.retention.collector import Collector
from asgard_async.retention.plan import Removal
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore
from asgard_async.store.migrate import SchemaError


@click.command()
@config_option
@data_dir_option
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@json_option
def gc(file: Path | None, data_dir: str | None, dry_run: bool, as_json: bool) -> None:
    """Throw away jobs, their files and environments that need not be kept.

    The service does the same by itself every [retention] check_hours; this is safe beside it. What
    goes is set in [retention] and [environments]; nothing of a job that has not ended ever does.

    \b
    Examples:
      asgard gc --dry-run
      ASGARD_RETENTION__DIRECTORIES_DAYS=1 asgard gc
    """
    config = load_or_exit(file, data_dir=data_dir)
    data = DataDirectory(root=config.data_dir)
    if not data.database.exists():
        raise click.ClickException(f"there is no database in {data.root}; see --data-dir")
    try:
        found = asyncio.run(_collect(config, data, dry_run=dry_run))
    except SchemaError as error:
        raise click.ClickException(f"{data.database}: {error}") from error
    if as_json:
        click.echo(json.dumps([_describe(one) for one in found], indent=2))
        return
    for one in found:
        size = f"{one.size_bytes / 1e6:.1f} MB"
        click.echo(f"{one.kind:<11}  {one.name:<16}  {size:>12}  {one.why}")
    total = f"{sum(one.size_bytes for one in found) / 1e6:.1f} MB"
    if not found:
        click.echo("Nothing to throw away.")
    elif dry_run:
        click.echo(f"Would throw away {len(found)}, {total}.")
    else:
        click.echo(f"Threw away {len(found)}, {total}.")


async def _collect(config: Config, data: DataDirectory, *, dry_run: bool) -> Sequence[Removal]:
    async with Database(data.database, migrates=False) as database:
        collector = Collector(
            store=JobStore(database),
            archives=ArchiveStore(data.archives),
            jobs_dir=data.jobs,
            environments_dir=data.environments,
            caches_dir=data.job_caches,
            retention=config.retention,
            environments=config.environments,
        )
        return await collector.find() if dry_run else await collector.collect()


def _describe(one: Removal) -> dict[str, str | int]:
    return {
        "kind": one.kind.value,
        "name": one.name,
        "size_bytes": one.size_bytes,
        "why": one.why,
    }
