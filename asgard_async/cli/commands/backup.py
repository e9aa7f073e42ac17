"""The `asgard backup` command."""

import contextlib
from collections.abc import Generator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from asgard_async.backups.contents import open_contents
from asgard_async.backups.copying import make_private
from asgard_async.backups.create import Made, write_backup
from asgard_async.backups.manifest import PARTIAL, NotABackup
from asgard_async.backups.staging import staging_directory
from asgard_async.backups.tree import OpenFile
from asgard_async.cli.backup_users import files_read_by_owner, installed_versions
from asgard_async.cli.data_directory import load_data_directory
from asgard_async.cli.foreign_files import NotSent
from asgard_async.cli.options import config_option, data_dir_option
from asgard_async.cli.sanitiser import one_line
from asgard_async.config.data_directory import DataDirectory
from asgard_async.store.backup import BackupFailed


@click.command()
@config_option
@data_dir_option
@click.option("--full", is_flag=True, help="Copy everything; share no files with earlier backups.")
@click.argument("destination", type=click.Path(path_type=Path, file_okay=False), metavar="DEST")
def backup(file: Path | None, data_dir: str | None, full: bool, destination: Path) -> None:
    """Make a whole backup, also while the service is running.

    Creates a directory in DEST that contains the databases of Asgard and of the embedded MLflow,
    tokens, the audit log, archives, logs, and models and other artifacts. Files that have not
    changed since the newest backup in DEST become hard links to the files there, so each backup is
    complete, but takes only the space of what is new. To delete a backup, delete its directory.

    \b
    Examples:
      asgard backup /backup/asgard
      asgard backup --full /media/usb/asgard
      asgard restore /backup/asgard/2026-11-22T030000Z --data-dir /srv/asgard
    """
    config, data = load_data_directory(file, data_dir)
    _refuse_within(destination, data.root)
    versions = installed_versions()
    try:
        with files_read_by_owner(data.root, destination, partial(_open_all, data)) as files:
            if files is None:
                _check_existing(data)
            make_private(destination)
            with (
                staging_directory(destination, PARTIAL) as staging,
                contextlib.ExitStack() as own,
            ):
                if files is None:
                    files = own.enter_context(contextlib.closing(open_contents(data, staging)))
                made = write_backup(
                    files,
                    staging=staging,
                    destination=destination,
                    is_full=full,
                    versions=versions,
                    at=datetime.now(UTC),
                )
    except (BackupFailed, NotABackup, NotSent) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"The backup failed, and left nothing in {destination}: {error}"
        ) from error
    _report(made, config.mlflow.tracking_uri, config.mlflow.artifacts_destination)


def _open_all(data: DataDirectory) -> Generator[OpenFile, None, None]:
    _check_existing(data)
    yield from open_contents(data, data.root)


def _check_existing(data: DataDirectory) -> None:
    if not data.database.exists():
        raise click.ClickException(f"There is no database in {data.root}; see --data-dir")


def _refuse_within(destination: Path, root: Path) -> None:
    """Refuse a destination inside the data directory, which would be lost together with it."""
    place = destination.resolve()
    for path in (place, *place.parents):
        with contextlib.suppress(OSError):
            if path.samefile(root):
                raise click.UsageError(
                    f"{destination} is inside the data directory {root}, and would be lost together"
                    " with it; choose a directory elsewhere, on another disk if possible"
                )


def _report(made: Made, tracking_uri: str, artifacts_destination: str) -> None:
    described = made.description
    click.echo(one_line(str(made.path)))
    files = "file" if described.files == 1 else "files"
    shared = f", {made.shared_bytes / 1e6:.1f} MB of it shared" if made.shared_bytes else ""
    click.echo(f"{described.files} {files}, {described.total_bytes / 1e6:.1f} MB{shared}", err=True)
    click.echo(
        "Not included: the configuration file, working directories of jobs, environments, caches.",
        err=True,
    )
    if tracking_uri:
        click.echo("Not included: runs and models, which an MLflow of your own stores.", err=True)
    elif artifacts_destination:
        click.echo("Not included: models, which are in [mlflow] artifacts_destination.", err=True)
    if described.left_out:
        click.echo(f"Left out {described.left_out} entries that cannot be copied:", err=True)
        for example in described.left_out_examples:
            click.echo(f"  {one_line(example)}", err=True)
