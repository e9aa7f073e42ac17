"""Ownership of the data directory: root acts in another user's directory as that user.

The owner of a directory can change its contents at any moment: to links to files of root, FIFOs,
another directory. No check by root could be relied on, so a process of root gives its privileges up
before it opens anything there.
"""

import errno
import os
import pwd
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from asgard_async.core.files.regular import checked_regular

MAX_LINKS = 40
"""The kernel's own limit for the links on a path."""


class StillPrivileged(OSError):
    """The process could not give up root's privileges."""


def open_private(file: Path, flags: int) -> int:
    """Open a regular file with mode 0600 and return its descriptor; `flags` may create it.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
    """
    flags |= os.O_CLOEXEC | os.O_NONBLOCK
    if is_foreign(file.parent.stat().st_uid):
        flags |= os.O_NOFOLLOW
    return checked_regular(os.open(file, flags, 0o600), file)


def become_owner_of(path: Path) -> None:
    """Make a process of root the user who controls a path, for good; see `controlling_user`.

    The process keeps none of root's privileges and groups. Nothing changes if root controls the
    path, or if the process is not root.

    Raises:
        OSError: root must not use the path, or the process cannot become the user.
    """
    if os.geteuid() == 0 and is_foreign(uid := controlling_user(path)):
        become(uid)


def become(uid: int) -> None:
    """Make a process of root another user, for good.

    Raises:
        OSError: the process cannot become the user.
    """
    try:
        user = pwd.getpwuid(uid)
    except KeyError:  # the group of the directory may be one that the user is not a member of
        gid, groups, names = uid, [uid], {"HOME": "/"}
    else:
        gid, groups = user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid)
        names = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    with suppress(PermissionError):
        os.setuid(0)
        raise StillPrivileged(errno.EPERM, "Cannot give up root's privileges")
    # as su(1) does, since root's home directory is not accessible any more
    os.environ.update(names)


def is_foreign(uid: int) -> bool:
    """Return whether this process is root and the uid is another user's."""
    return os.geteuid() == 0 and uid != 0 and uid != _uid_of_unknown_users()


def controlling_user(path: Path) -> int:
    """Return the uid of the user who decides where a path leads and what is there.

    That is the owner of a link on the path, or of the directory, or if it does not exist, of the
    directory in which it would be created; root's own links and directories count as nobody's.

    Raises:
        OSError: the directory belongs to root, but lies in a directory of another user, who could
            replace it at any moment; or the path is not usable.
    """
    way = _Way()
    names = _reversed_names(str(path.absolute()))
    while names:
        name = names.pop()
        if name == "..":
            way.leave()
            continue
        try:
            status = os.lstat(f"{way.path}/{name}")
        except FileNotFoundError:
            return way.owner  # of the last directory that exists
        if not stat.S_ISLNK(status.st_mode):
            way.enter(name, status.st_uid)
        elif is_foreign(status.st_uid):
            return status.st_uid
        else:
            names += _reversed_names(way.follow(name))
    if not is_foreign(way.owner) and (above := way.foreign_above) is not None:
        raise PermissionError(
            errno.EPERM,
            f"Belongs to root, but lies in a directory of uid {above}, who could replace it; change"
            " its owner (chown -R), or move it",
            str(path),
        )
    return way.owner


@dataclass
class _Way:
    """The directories from the root directory to a position, with their owners."""

    levels: list[tuple[str, int]] = field(default_factory=lambda: [("", os.lstat("/").st_uid)])
    links: int = 0

    @property
    def path(self) -> str:
        return "/".join(name for name, _ in self.levels)

    @property
    def owner(self) -> int:
        return self.levels[-1][1]

    @property
    def foreign_above(self) -> int | None:
        return next((uid for _, uid in self.levels[:-1] if is_foreign(uid)), None)

    def enter(self, name: str, uid: int) -> None:
        self.levels.append((name, uid))

    def leave(self) -> None:
        del self.levels[max(1, len(self.levels) - 1) :]

    def follow(self, name: str) -> str:
        """Return a link's target, after going to where it starts."""
        self.links += 1
        if self.links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), f"{self.path}/{name}")
        target = str(Path(f"{self.path}/{name}").readlink())
        if target.startswith("/"):
            del self.levels[1:]
        return target


def _reversed_names(path: str) -> list[str]:
    return [name for name in reversed(path.split("/")) if name not in {"", "."}]


def _uid_of_unknown_users() -> int:
    """Return the uid shown for users that this user namespace does not have; -1 if it has all.

    Root of such a namespace cannot become one of these users, and they may be the machine's root.
    """
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    if any(int(count) == (1 << 32) - 1 for _, _, count in ranges):
        return -1
    return int(Path("/proc/sys/kernel/overflowuid").read_text())
