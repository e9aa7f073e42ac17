"""Access of the administrative commands to a data directory: the only way by which they open one.

Root acts in another user's data directory as that user (decision 033).
"""

import importlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgard_async.cli.options import load_or_exit
from asgard_async.cli.sanitiser import one_line

if TYPE_CHECKING:
    from asgard_async.config import Config
    from asgard_async.config.data_directory import DataDirectory

IMPORTED_LATE = (
    *("concurrent.futures.thread", "encodings.idna", "stringprep", "traceback", "linecache"),
    *("click._termui_impl", "click.shell_completion"),
)
"""Modules that Python and its packages import when they are first needed. If the interpreter lies
in a private directory of root, another user could not import them."""


def open_data_directory(
    file: Path | None,
    data_dir: str | None,
    *,
    creates: bool | None = None,
    must_exist: bool = True,
    runs_programs: bool = False,
) -> "tuple[Config, DataDirectory]":
    """Load the configuration, and become the owner of the data directory before it is used.

    The directory is named on stderr. `creates` is the value of the option --create, None for a
    command without it. With `runs_programs`, the command also starts interpreters as that user.

    Raises:
        click.UsageError: the configuration is invalid.
        click.ClickException: the directory does not exist, or the user cannot use it or the
            interpreter.
    """
    config, data = _configured(file, data_dir)
    become_owner(config.data_dir, runs_programs=runs_programs)
    if creates:
        _make(data)
    elif must_exist:
        check_exists(data, can_create=creates is not None)
    return config, data


def load_data_directory(file: Path | None, data_dir: str | None) -> "tuple[Config, DataDirectory]":
    """Load the configuration for a command that must become several users; name the directory.

    Raises:
        click.UsageError: the configuration is invalid.
        click.ClickException: ASGARD_URL does not lead to a service of this user.
    """
    return _configured(file, data_dir)


def check_exists(data: "DataDirectory", *, can_create: bool = False) -> None:
    """Refuse a data directory that does not exist.

    Raises:
        click.ClickException: it does not exist.
    """
    if not data.root.is_dir():
        remedy = "; --create makes it" if can_create else ""
        raise click.ClickException(
            f"There is no data directory {data.root}; name the service's with --data-dir, or its"
            f" address in ASGARD_URL{remedy}"
        )


def _configured(file: Path | None, data_dir: str | None) -> "tuple[Config, DataDirectory]":
    """Return the configured data directory, or else that of the service that ASGARD_URL names."""
    from asgard_async.cli.running_service import directory_at, local_address
    from asgard_async.config.data_directory import DataDirectory

    config = load_or_exit(file, data_dir=data_dir)
    source = config.sources.get("server.data_dir", "default")
    if source == "default" and (address := local_address()) is not None:
        found = directory_at(*address, is_own=_is_directory_of)
        is_port_set = "server.port" in config.sources
        port = None if is_port_set else address[1]
        config = load_or_exit(file, data_dir=str(found), port=port)
        source = "ASGARD_URL"
    click.echo(one_line(f"Data directory: {config.data_dir} ({source})"), err=True)
    return config, DataDirectory(root=config.data_dir)


def _is_directory_of(path: Path, instance: str) -> bool:
    """Return whether a directory is this user's, and in use by the service with this id."""
    from asgard_async.config.data_directory import DataDirectory
    from asgard_async.core.files.locks import is_held

    data = DataDirectory(root=path)
    try:
        status = path.lstat()
        return (
            stat.S_ISDIR(status.st_mode)
            and status.st_uid == os.geteuid()
            and data.instance.read_text().strip() == instance
            and is_held(data.service_lock)
        )
    except (OSError, ValueError):
        return False


def _make(data: "DataDirectory") -> None:
    from asgard_async.config import ConfigError

    try:
        data.make()
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def become_owner(path: Path, *, runs_programs: bool = False) -> None:
    """Become the user who controls a path, if this process is root; nobody gets root back.

    Raises:
        click.ClickException: the user cannot use the path or the interpreter.
    """
    from asgard_async.core.files.ownership import become_owner_of

    before = os.geteuid()
    if before != 0:
        return
    import_late_modules()
    try:
        become_owner_of(path)
    except NotADirectoryError:
        return  # nothing can be created there, which the command reports in its own words
    except OSError as error:
        raise click.ClickException(str(error)) from error
    if os.geteuid() == before:
        return
    try:
        os.stat(path)  # noqa: PTH116  # Path.exists swallows the reason
    except FileNotFoundError:
        pass
    except OSError as error:
        raise click.ClickException(
            f"uid {os.geteuid()}, whose directory this is, cannot reach {path}: {error.strerror}."
            " Give the user access to the directories above it, or change its owner (chown -R)"
        ) from error
    if runs_programs and not _can_run_programs():
        raise click.ClickException(
            f"{path} belongs to uid {os.geteuid()}, who cannot run {sys.executable}. Install Asgard"
            " where that user has access, or change the directory's owner (chown -R)"
        )


def import_late_modules() -> None:
    """Import what would be imported later, while root can still read it."""
    for name in IMPORTED_LATE:
        importlib.import_module(name)


def _can_run_programs() -> bool:
    is_readable = all(os.access(file, os.R_OK) for file in (__file__, os.__file__, click.__file__))
    return is_readable and os.access(sys.executable, os.X_OK)
