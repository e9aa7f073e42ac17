"""The `asgard db` command."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import click

from asgard_async.cli.options import config_option, data_dir_option, load_or_exit
from asgard_async.config import ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.files.ownership import give_to_owner_of
from asgard_async.store.backup import BackupFailed, back_up
from asgard_async.store.database import bring_up_to_date
from asgard_async.store.migrate import SchemaError


@click.group()
def db() -> None:
    """Back up the databases and migrate their schema."""


@db.command()
@config_option
@data_dir_option
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
def backup(file: Path | None, data_dir: str | None, target: Path) -> None:
    """Back up the databases, archives and tokens to TARGET.

    TARGET is a directory. Safe while the service is running: each database is copied as a
    consistent snapshot and then checked. Logs (jobs/) and models (mlflow/artifacts/) are plain
    files, which any tool can copy. To restore a backup, copy TARGET to the place of the data
    directory.

    \b
    Examples:
      asgard db backup /backup/asgard-$(date +%F)
      cp -a /backup/asgard-2026-11-22 restored && asgard serve --data-dir restored
    """
    data = _existing_directory(file, data_dir)
    copy = DataDirectory(root=target)
    try:
        copy.make()
        size = back_up(data.database, copy.database)
        click.echo(f"{copy.database}  {size / 1e6:.1f} MB")
        if data.mlflow_database.exists():
            size = back_up(data.mlflow_database, copy.mlflow_database)
            click.echo(f"{copy.mlflow_database}  {size / 1e6:.1f} MB")
        archives = _copy_archives(data, copy)
        click.echo(f"{copy.archives}  {archives} {'archive' if archives == 1 else 'archives'}")
        if data.tokens.exists():
            _copy(data.tokens, copy.tokens)
            click.echo(f"{copy.tokens}")
        if target.resolve().is_relative_to(data.root.resolve()):
            give_to_owner_of(data.root, target)
    except (BackupFailed, ConfigError, OSError) as error:
        raise click.ClickException(str(error)) from error


@db.command()
@config_option
@data_dir_option
def migrate(file: Path | None, data_dir: str | None) -> None:
    """Migrate the database to this version's schema.

    The service does this itself when it starts. Stop it before running this command.

    \b
    Example:
      asgard db migrate --data-dir /srv/asgard
    """
    data = _existing_directory(file, data_dir)
    try:
        lock = data.lock()
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    try:
        migrations = bring_up_to_date(data.database)
    except (SchemaError, sqlite3.Error) as error:
        raise click.ClickException(f"{data.database}: {error}") from error
    finally:
        os.close(lock)
    for name in migrations:
        click.echo(f"applied {name}")
    if not migrations:
        click.echo("The schema is up to date.")


def _existing_directory(file: Path | None, data_dir: str | None) -> DataDirectory:
    data = DataDirectory(root=load_or_exit(file, data_dir=data_dir).data_dir)
    if not data.database.exists():
        raise click.ClickException(f"There is no database in {data.root}; see --data-dir")
    return data


def _copy_archives(data: DataDirectory, copy: DataDirectory) -> int:
    """Copy the archives that the backup does not have yet; an archive never changes."""
    copied = 0
    for archive in sorted(data.archives.iterdir()):
        target = copy.archives / archive.name
        if not target.exists():
            with contextlib.suppress(FileNotFoundError):  # its job has just been deleted
                _copy(archive, target)
        copied += target.exists()
    return copied


def _copy(source: Path, target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    shutil.copy2(source, partial)
    partial.chmod(0o600)
    partial.replace(target)
