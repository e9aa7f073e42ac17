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
            # not shutil, which takes long to import: shared memory has no directories
            for folder, folders, files in os.walk(entry.path, topdown=False):
                for name in files:
                    os.unlink(f"{folder}/{name}")
                for name in folders:
                    path = f"{folder}/{name}"
                    (os.unlink if os.path.islink(path) else os.rmdir)(path)
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)
    except (OSError, RecursionError):
        return  # a job cannot keep the next one from starting
