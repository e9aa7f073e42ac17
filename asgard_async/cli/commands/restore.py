"""The `asgard restore` command."""

import contextlib
import shlex
from functools import partial
from pathlib import Path

import click

from asgard_async.backups.manifest import NotABackup
from asgard_async.backups.restore import Restored, RestoreRefused, open_backup
from asgard_async.backups.restore import restore as restore_files
from asgard_async.cli.backup_users import files_read_by_owner, installed_versions
from asgard_async.cli.data_directory import load_data_directory
from asgard_async.cli.foreign_files import NotSent
from asgard_async.cli.options import config_option, data_dir_option
from asgard_async.config import ConfigError
from asgard_async.config.data_directory import DataDirectory


@click.command()
@config_option
@data_dir_option
@click.argument("backup", type=click.Path(path_type=Path))
def restore(file: Path | None, data_dir: str | None, backup: Path) -> None:
    """Restore a whole backup into an empty directory.

    BACKUP is a directory made by `asgard backup`. The data directory must be empty or missing. The
    command compares every file with its digest in the backup. Jobs that were running when the
    backup was made end as "lost" at the next start of the service, and queued ones run.

    \b
    Examples:
      asgard restore /backup/asgard/2026-11-22T030000Z --data-dir /srv/asgard
      sudo asgard restore /backup/asgard/2026-11-22T030000Z --data-dir /var/lib/asgard
    """
    _, data = load_data_directory(file, data_dir)
    versions = installed_versions()
    try:
        with (
            files_read_by_owner(
                backup, data.root, partial(open_backup, backup), may_give_away=True
            ) as received,
            contextlib.closing(open_backup(backup)) as own,
        ):
            restored = restore_files(own if received is None else received, data, versions)
    except (ConfigError, NotABackup, NotSent, RestoreRefused) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"Nothing was restored: {error}") from error
    _report(restored, data)


def _report(restored: Restored, data: DataDirectory) -> None:
    described = restored.description
    click.echo(
        f"Restored {described.files} files, {described.total_bytes / 1e6:.1f} MB,"
        f" of {described.made_at} to {data.root}"
    )
    if restored.running:
        click.echo(f"Jobs that were running, and will end as lost: {restored.running}")
    if restored.queued:
        click.echo(f"Jobs that were queued, and will run: {restored.queued}")
    click.echo(
        "Next:\n"
        "  1. Stop the service that the backup was made of, if it still runs.\n"
        "  2. Restore the configuration file, if there was one; backups do not contain it.\n"
        f"  3. asgard serve --data-dir {shlex.quote(str(data.root.absolute()))}"
    )
