"""Removing what jobs and builds made."""

import contextlib
import logging
import shutil
import subprocess
from pathlib import Path

logger = logging.getLogger(__name__)


def remove_tree(directory: Path) -> None:
    """Remove a file or a tree that a job may have made; never what a link points to."""
    if directory.is_symlink() or not directory.is_dir():
        directory.unlink(missing_ok=True)
        return
    with contextlib.suppress(RecursionError):
        shutil.rmtree(directory, ignore_errors=True)
    if not directory.exists():
        return
    # a job may have made directories that even their owner cannot change, as some caches do, or
    # a thousand of them in each other, where Python gives up; neither of these follows a link
    for command in (("chmod", "-R", "u+rwx"), ("rm", "-rf")):
        subprocess.run(
            [*command, "--", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    if directory.exists():
        logger.warning("%s could not be removed as a whole", directory)
