"""The two users of a backup under root: one reads the files, the other one writes the copies."""

import contextlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from asgard_async import __version__
from asgard_async.backups.create import Versions
from asgard_async.backups.tree import OpenFile
from asgard_async.cli.data_directory import become_owner, import_late_modules
from asgard_async.cli.foreign_files import OpenFiles, opened_by
from asgard_async.core.files.ownership import controlling_user, is_foreign


@contextlib.contextmanager
def files_read_by_owner(
    source: Path, target: Path, open_files: OpenFiles, *, may_give_away: bool = False
) -> Iterator[Iterator[OpenFile] | None]:
    """Become the user who controls `target`; yield the files of `source`.

    Another process opens them with `open_files`. Yields None if the same user controls both, and
    this process can open them itself.

    Raises:
        click.ClickException: root's files would be given to another user.
    """
    reader, writer = controlling_user(source), controlling_user(target)
    if reader == writer or not (is_foreign(reader) or is_foreign(writer)):
        become_owner(target)
        yield None
        return
    if not is_foreign(reader) and not may_give_away:
        raise click.ClickException(
            f"{target} is in a directory of uid {writer}, who must not get a backup of root's"
            " data; choose a directory that only root can write to"
        )
    import_late_modules()
    with opened_by(reader, open_files) as files:
        become_owner(target)
        yield files


def installed_versions() -> Versions:
    """Return the versions of Asgard and MLflow; call this before root gives up its privileges."""
    try:
        mlflow = version("mlflow")
    except PackageNotFoundError:
        mlflow = ""
    return Versions(asgard=__version__, mlflow=mlflow)
