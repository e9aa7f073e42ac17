"""The `asgard db` command."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

import click

from asgard_async.backups.contents import DATABASES
from asgard_async.cli.data_directory import (
    become_owner,
    check_exists,
    import_late_modules,
    load_data_directory,
    open_data_directory,
)
from asgard_async.cli.foreign_files import NotSent, opened_by
from asgard_async.cli.options import config_option, data_dir_option
from asgard_async.config import ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.files.ownership import controlling_user, is_foreign
from asgard_async.core.files.regular import open_regular
from asgard_async.core.files.remove_tree import entries_within
from asgard_async.domain.names import InvalidName, archive_of, is_valid
from asgard_async.store.backup import BackupFailed, back_up, copy_file
from asgard_async.store.database import bring_up_to_date
from asgard_async.store.migrate import SchemaError

TOKENS = "tokens.json"
ARCHIVES = "archives/"


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
    consistent snapshot and then checked. To restore a backup, copy TARGET to the place of the data
    directory. Logs and models are left out: `asgard backup` makes whole backups.

    \b
    Examples:
      asgard db backup /backup/asgard-$(date +%F)
      cp -a /backup/asgard-2026-11-22 restored && asgard serve --data-dir restored
    """
    _, data = load_data_directory(file, data_dir)
    try:
        reader, writer = controlling_user(data.root), controlling_user(target)
        if is_foreign(reader) and reader != writer:
            import_late_modules()
            _back_up_as(reader, data, target)
        elif is_foreign(writer) and reader != writer:
            raise click.ClickException(
                f"{target} is in a directory of uid {writer}, who must not get a backup of root's"
                " data; choose a directory that only root can write to"
            )
        else:
            become_owner(data.root)
            _check_existing(data)
            _back_up(data, DataDirectory(root=target).make())
    except (BackupFailed, ConfigError, InvalidName, NotSent, OSError) as error:
        raise click.ClickException(str(error)) from error
    _report(DataDirectory(root=target))


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
    _, data = open_data_directory(file, data_dir)
    _check_existing(data)
    try:
        lock = data.lock()
    except (ConfigError, OSError) as error:
        raise click.ClickException(str(error)) from error
    try:
        migrations = bring_up_to_date(data.database)
    except (SchemaError, sqlite3.Error, OSError) as error:
        raise click.ClickException(f"{data.database}: {error}") from error
    finally:
        os.close(lock)
    for name in migrations:
        click.echo(f"applied {name}")
    if not migrations:
        click.echo("The schema is up to date.")


def _check_existing(data: DataDirectory) -> None:
    check_exists(data)
    if not data.database.exists():
        raise click.ClickException(f"There is no database in {data.root}; see --data-dir")


def _back_up(data: DataDirectory, copy: DataDirectory) -> None:
    """Make a backup as one user."""
    for name in DATABASES:
        if (data.root / name).exists():
            back_up(data.root / name, copy.root / name)
    for name, descriptor in _open_files(data):
        _store(name, descriptor, copy)


def _back_up_as(reader: int, data: DataDirectory, target: Path) -> None:
    """Make a backup whose files are read by the data directory's owner."""
    with opened_by(reader, partial(_open_all, data)) as files:
        become_owner(target)
        copy = DataDirectory(root=target).make()
        for name, descriptor in files:
            _store(name, descriptor, copy)


def _store(name: str, descriptor: int, copy: DataDirectory) -> None:
    if name in {*DATABASES, TOKENS}:
        copy_file(descriptor, copy.root / name)
        return
    archive = copy.archives / archive_of(name.removeprefix(ARCHIVES))
    if not archive.exists():  # an archive never changes
        copy_file(descriptor, archive)


def _open_all(data: DataDirectory) -> Generator[tuple[str, int], None, None]:
    """Open snapshots of the databases, and the other files."""
    _check_existing(data)
    spool = Path(tempfile.mkdtemp(prefix=".backup-", dir=data.root))
    try:
        for name in DATABASES:
            if (data.root / name).exists():
                snapshot = spool / "snapshot.db"
                back_up(data.root / name, snapshot)
                with _opened(snapshot) as descriptor:
                    snapshot.unlink()
                    yield name, descriptor
        yield from _open_files(data)
    finally:
        shutil.rmtree(spool, ignore_errors=True)


def _open_files(data: DataDirectory) -> Iterator[tuple[str, int]]:
    """Open the tokens and the archives."""
    for name in sorted(entries_within(data.archives)):
        if is_valid(archive_of, name):
            with contextlib.suppress(FileNotFoundError):  # its job has just been deleted
                with _opened(data.archives / name) as descriptor:
                    yield f"{ARCHIVES}{name}", descriptor
    with contextlib.suppress(FileNotFoundError), _opened(data.tokens) as descriptor:
        yield TOKENS, descriptor


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[int]:
    descriptor = open_regular(file)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _report(copy: DataDirectory) -> None:
    for file in (copy.database, copy.mlflow_database):
        if file.exists():
            click.echo(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
    archives = len(entries_within(copy.archives))
    click.echo(f"{copy.archives}  {archives} {'archive' if archives == 1 else 'archives'}")
    if copy.tokens.exists():
        click.echo(f"{copy.tokens}")
    click.echo(
        "Not included: logs, models and other artifacts; `asgard backup` copies them, too.",
        err=True,
    )
