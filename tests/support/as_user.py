"""Run a command as another user, with access to certain paths.

`python -m tests.support.as_user UID PATH… -- COMMAND…`.

The files that tests need may lie below private directories: an interpreter in root's home, a TMPDIR
with mode 700. The command runs in its own mount namespace, where these paths exist below
directories that everybody can pass through.
"""

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path

from asgard_async.supervisor.shim import linux


def main() -> None:
    """Replace this process with the command."""
    separator = sys.argv.index("--")
    uid, paths, command = int(sys.argv[1]), sys.argv[2:separator], sys.argv[separator + 1 :]
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    # by descriptors: a directory is covered before the paths below it are mounted again
    opened = {path: os.open(path, os.O_PATH) for path in map(os.path.abspath, paths)}
    for private in sorted({found for path in opened if (found := first_private(path))}):
        linux.mount("tmpfs", private, "tmpfs", 0, "mode=755")
    for path, descriptor in opened.items():
        if not Path(path).exists():
            Path(path).mkdir(parents=True)
            linux.mount(f"/proc/self/fd/{descriptor}", path, "", linux.MS_BIND | linux.MS_REC)
        os.close(descriptor)
    os.chdir(os.getcwd())  # noqa: PTH109  # the one that is shown now
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if "FORBID_NAMESPACES" in os.environ:
        forbid_namespaces(uid)
    if "FORBID_LANDLOCK" in os.environ:
        forbid_landlock()
    os.execv(command[0], command)  # noqa: S606


def forbid_namespaces(uid: int) -> None:
    """Make the kernel refuse further user namespaces, by the limit of a new one."""
    linux.set_dumpable(True)  # otherwise it could not access its own /proc
    linux.unshare(linux.CLONE_NEWUSER)
    for name, text in (
        ("/proc/self/setgroups", "deny"),
        ("/proc/self/uid_map", f"{uid} {uid} 1"),
        ("/proc/self/gid_map", f"{uid} {uid} 1"),
        ("/proc/sys/user/max_user_namespaces", "0"),
    ):
        Path(name).write_text(text)


def forbid_landlock() -> None:
    """Make the system calls of Landlock fail as on a kernel without it (seccomp(2))."""
    landlock_create_ruleset, landlock_restrict_self = 444, 446
    load, jump_if_ge, jump_if_gt, answer = 0x20, 0x35, 0x25, 0x06
    error, allow = 0x00050000 | errno.ENOSYS, 0x7FFF0000
    code = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 0),  # the number of the system call
            (jump_if_ge, 0, 2, landlock_create_ruleset),
            (jump_if_gt, 1, 0, landlock_restrict_self),
            (answer, 0, 0, error),
            (answer, 0, 0, allow),
        )
    )
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    set_no_new_privileges, set_seccomp, filtered = 38, 22, 2
    zero = ctypes.c_ulong(0)
    if libc.prctl(set_no_new_privileges, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
        set_seccomp, ctypes.c_ulong(filtered), program, zero, zero
    ):
        raise OSError(ctypes.get_errno(), "seccomp")


def first_private(path: str) -> str | None:
    """The topmost directory above `path` that other users cannot pass through."""
    above = ""
    for name in path.strip("/").split("/")[:-1]:
        above += f"/{name}"
        if not Path(above).stat().st_mode & 0o001:
            return above
    return None


if __name__ == "__main__":
    main()
