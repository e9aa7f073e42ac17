"""Access of the administrative commands to a data directory: the only way by which they open one.

Root acts in another user's data directory as that user (decision 033).
"""

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgard_async.cli.options import load_or_exit

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
    file: Path | None, data_dir: str | None, *, runs_programs: bool = False
) -> "tuple[Config, DataDirectory]":
    """Load the configuration, and become the owner of the data directory before it is used.

    With `runs_programs`, the command also starts interpreters as that user.

    Raises:
        click.UsageError: the configuration is invalid.
        click.ClickException: the user cannot use the data directory or the interpreter.
    """
    from asgard_async.config.data_directory import DataDirectory

    config = load_or_exit(file, data_dir=data_dir)
    become_owner(config.data_dir, runs_programs=runs_programs)
    return config, DataDirectory(root=config.data_dir)


def load_data_directory(file: Path | None, data_dir: str | None) -> "tuple[Config, DataDirectory]":
    """Load the configuration for a command that must become several users.

    Raises:
        click.UsageError: the configuration is invalid.
    """
    from asgard_async.config.data_directory import DataDirectory

    config = load_or_exit(file, data_dir=data_dir)
    return config, DataDirectory(root=config.data_dir)


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
