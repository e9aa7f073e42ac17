"""Removal of files and trees created by jobs and builds."""

import contextlib
import logging
import shutil
import subprocess
from pathlib import Path

logger = logging.getLogger(__name__)


def remove_tree(directory: Path) -> None:
    """Remove a file or tree that a job may have created; links are never followed."""
    if directory.is_symlink() or not directory.is_dir():
        directory.unlink(missing_ok=True)
        return
    with contextlib.suppress(RecursionError):
        shutil.rmtree(directory, ignore_errors=True)
    if not directory.exists():
        return
    # A job may have created directories that are read-only even for their owner, as some caches
    # are, or nested them too deeply for Python's recursion. Neither command follows links.
    for command in (("chmod", "-R", "u+rwx"), ("rm", "-rf")):
        subprocess.run(
            [*command, "--", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    if directory.exists():
        logger.warning("could not remove all of %s", directory)
