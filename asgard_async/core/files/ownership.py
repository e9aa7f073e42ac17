"""What root makes in the data directory (`sudo asgard …`) belongs to whom the directory belongs to.

Otherwise the service, which runs as that one, could not read what is new.
"""

import os
import pwd
from pathlib import Path


def open_private(file: Path, flags: int) -> int:
    """A descriptor of a file that is for its owner alone, which is made if `flags` say so.

    Where root makes it in a directory of somebody else's, it becomes that one's, and no link that
    is planted there is followed.

    Raises:
        OSError: it cannot be opened.
    """
    owner = other_owner(file.parent)
    if owner is None:
        return os.open(file, flags | os.O_CLOEXEC, 0o600)
    descriptor = os.open(file, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        made = os.fstat(descriptor)
        # a second name of a file of root's may be planted as well
        if made.st_uid == 0 and made.st_nlink == 1:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def give_to_owner_of(directory: Path, made: Path) -> None:
    """Give what root has made, and all that is in it, to the owner of a directory.

    Raises:
        OSError: that is not possible.
    """
    owner = other_owner(directory)
    if owner is None:
        return
    for path in (*made.rglob("*"), made):
        if path.lstat().st_uid == 0:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def become_owner_of(directory: Path) -> None:
    """Where root was asked to do what only the owner of a directory should, go on as that one.

    For good: nothing of root's is left to this process. A directory that is not there yet will be
    root's own.
    """
    owner = other_owner(directory)
    if owner is None:
        return
    try:
        os.initgroups(pwd.getpwuid(owner.st_uid).pw_name, owner.st_gid)
    except KeyError:  # nobody has this uid: it has no other groups
        os.setgroups([])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)


def other_owner(directory: Path) -> os.stat_result | None:
    """Whose a directory is, if it is there, we are root and it is not root's."""
    if os.geteuid() != 0 or not directory.exists():
        return None
    owner = directory.stat()
    return owner if owner.st_uid != 0 else None
