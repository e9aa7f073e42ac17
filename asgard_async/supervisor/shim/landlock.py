"""Landlock (landlock(7)): irreversible restriction of a process to parts of the file system.

Newer kernels restrict more: renaming between directories (ABI 2), truncating (3), devices (5),
signals and abstract sockets (6).
"""

import ctypes
import errno
import os
import stat

from . import linux

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
VERSION = 1
RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
ALL_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
IOCTL_DEV = 1 << 15
TRUNCATE = 1 << 14
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READING = EXECUTE | READ_FILE | READ_DIR
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1, 2


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """Return the kernel's version of Landlock; 0 if it is missing or disabled."""
    try:
        return linux.system_call(CREATE_RULESET, None, 0, VERSION)
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
            return 0
        raise


def restrict(paths: "list[tuple[str, bool]]") -> None:
    """Restrict this process and its children to `paths`, each with True if it is writable.

    Does nothing without Landlock, or if `paths` is empty. Paths that do not exist are ignored. The
    caller must have set PR_SET_NO_NEW_PRIVS.
    """
    version = abi() if paths else 0
    if not version:
        return
    everything = ALL_OF_ABI.get(version, ALL_OF_ABI[4] | IOCTL_DEV)
    scopes = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS if version >= 6 else 0
    attributes = _Ruleset(everything, 0, scopes)
    # older kernels support fewer fields
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = linux.system_call(CREATE_RULESET, ctypes.byref(attributes), size, 0)
    for path, for_writing in paths:
        _allow(ruleset, path, everything if for_writing else everything & READING)
    linux.system_call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= OF_FILES
        rule = _PathBeneath(access, descriptor)
        linux.system_call(ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
