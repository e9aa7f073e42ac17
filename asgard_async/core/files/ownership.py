"""Ownership of files: files created by root are given to the data directory's owner.

Otherwise the service, which runs as that owner, could not read files created by `sudo asgard …`.
"""

import os
import pwd
from pathlib import Path


def open_private(file: Path, flags: int) -> int:
    """Open a file with mode 0600 and return its descriptor; `flags` decide whether to create it.

    If root creates the file in another user's directory, that user becomes its owner. Symbolic
    links in such a directory are not followed.

    Raises:
        OSError: the file cannot be opened.
    """
    owner = other_owner(file.parent)
    if owner is None:
        return os.open(file, flags | os.O_CLOEXEC, 0o600)
    descriptor = os.open(file, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        status = os.fstat(descriptor)
        # a planted hard link to one of root's own files has more than one name
        if status.st_uid == 0 and status.st_nlink == 1:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def give_to_owner_of(directory: Path, tree: Path) -> None:
    """Give a file or tree created by root to the owner of `directory`.

    Raises:
        OSError: the owner cannot be changed.
    """
    owner = other_owner(directory)
    if owner is None:
        return
    for path in (*tree.rglob("*"), tree):
        if path.lstat().st_uid == 0:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def become_owner_of(directory: Path) -> None:
    """Switch a root process to the owner of a directory, permanently.

    The process keeps none of root's privileges. If the directory does not exist, nothing changes,
    since root will own it.
    """
    owner = other_owner(directory)
    if owner is None:
        return
    try:
        os.initgroups(pwd.getpwuid(owner.st_uid).pw_name, owner.st_gid)
    except KeyError:  # a uid without a passwd entry has no other groups
        os.setgroups([])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)


def other_owner(directory: Path) -> os.stat_result | None:
    """Return the status of a directory if this process is root and another user owns it."""
    if os.geteuid() != 0 or not directory.exists():
        return None
    owner = directory.stat()
    return owner if owner.st_uid != 0 else None
