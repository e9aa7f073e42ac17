"""Memory that earlier jobs of a user left on the machine, where no namespace removes it.

Users are reused, so the next job may belong to somebody else.
"""

import ctypes
import os

IPC_RMID = 0
SYSV = (
    ("shm", "shmid", "shmctl", (IPC_RMID, None)),
    ("sem", "semid", "semctl", (0, IPC_RMID)),
    ("msg", "msqid", "msgctl", (IPC_RMID, None)),
)
"""The kinds of System V objects: file in /proc/sysvipc, column of the id, call to remove one."""
SHARED_MEMORY = "/dev/shm"  # noqa: S108  # every process of the machine has it

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)


def remove_leftovers() -> None:
    """Remove this user's System V objects and its files in /dev/shm.

    Call it as that user, while no other process has it.
    """
    uid = os.geteuid()
    for kind, column, function, arguments in SYSV:
        for number in _sysv_objects(kind, column, uid):
            getattr(_libc, function)(number, *arguments)
    try:
        with os.scandir(SHARED_MEMORY) as entries:
            own = [entry for entry in entries if _owner_of(entry) == uid]
    except OSError:
        return  # the machine has none
    for entry in own:
        _remove(entry)


def _sysv_objects(kind: str, column: str, uid: int) -> "list[int]":
    try:
        with open(f"/proc/sysvipc/{kind}") as file:
            names = file.readline().split()
            rows = [dict(zip(names, line.split(), strict=False)) for line in file]
    except OSError:
        return []  # a kernel without System V objects
    return [int(row[column]) for row in rows if str(uid) in (row["uid"], row["cuid"])]


def _owner_of(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_uid
    except OSError:
        return -1  # removed meanwhile


def _remove(entry: "os.DirEntry[str]") -> None:
    try:
        if entry.is_dir(follow_symlinks=False):
            _clear(entry.path)
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)
    except OSError:
        return  # a job cannot keep the next one from starting


def _clear(directory: str) -> None:
    """Empty a directory of any depth: move each directory below it up to it, then remove it."""
    os.chmod(directory, 0o700)
    top = os.open(directory, _DIRECTORY)
    prefix, moved = os.urandom(8).hex(), 0
    try:
        while names := os.listdir(top):
            for name in names:
                if _is_unlinked(name, top):
                    continue
                below = _open(name, top)
                try:
                    for inner in os.listdir(below):
                        if not _is_unlinked(inner, below):
                            os.chmod(inner, 0o700, dir_fd=below)
                            moved += 1
                            os.rename(inner, f"{prefix}{moved}", src_dir_fd=below, dst_dir_fd=top)
                finally:
                    os.close(below)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _open(name: str, parent: int) -> int:
    os.chmod(name, 0o700, dir_fd=parent)
    return os.open(name, _DIRECTORY, dir_fd=parent)


def _is_unlinked(name: str, parent: int) -> bool:
    """Unlink a file; return False for a directory."""
    try:
        os.unlink(name, dir_fd=parent)
    except IsADirectoryError:
        return False
    return True
