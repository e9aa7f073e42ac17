"""Change of the owner of a tree."""

import os
import stat
from pathlib import Path

from asgard_async.core.files.descent import Descent


def chown_tree(path: Path, uid: int) -> None:
    """Make a user the owner of a file, or of a directory with all its content.

    Links are not followed, and files that have further names are skipped, since these may be
    elsewhere. A directory changes its owner after its content, so that the new owner cannot
    interfere.

    Raises:
        OSError: an owner cannot be changed, or a directory was replaced during the walk.
    """
    walk = Descent(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    try:
        pending = [[path.name]]
        while True:
            while pending[-1]:
                name = pending[-1].pop()
                status = os.stat(name, dir_fd=walk.descriptor, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    walk.enter(name)
                    pending.append(os.listdir(walk.descriptor))  # noqa: PTH208
                elif status.st_nlink == 1:
                    os.chown(name, uid, uid, dir_fd=walk.descriptor, follow_symlinks=False)
            pending.pop()
            if not pending:
                return
            os.fchown(walk.descriptor, uid, uid)
            walk.leave()
    finally:
        walk.close()
