"""Linux system calls and files that the standard library does not provide."""

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
LOWEST_PRIORITY = 19
"""A value for setpriority(2)."""
FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE = 1 << 12, 1 << 14, 1 << 18, 1 << 19
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
MOUNT_SETATTR = 442  # the same on every architecture
KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_CLEAR, KEYCTL_UNLINK, KEYCTL_GET_PERSISTENT = 1, 7, 9, 22
KEY_SPEC_SESSION_KEYRING, KEY_SPEC_USER_KEYRING, KEY_SPEC_USER_SESSION_KEYRING = -3, -4, -5
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def system_call(number: int, *arguments: Any) -> int:
    """Make a system call and return its result.

    Raises:
        OSError: the kernel refuses.
    """
    result: int = _libc.syscall(ctypes.c_long(number), *map(_as_long, arguments))
    if result < 0:
        _check(result)
    return result


def _as_long(argument: Any) -> Any:
    # a plain int would be passed as 32 bits
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def become_subreaper() -> None:
    """Adopt the orphans of all descendants (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def signal_at_parents_death(number: int, parent: int) -> None:
    """Make the kernel send signal `number` when `parent` dies, or immediately if it is dead.

    Changing the user clears this setting (prctl(2), PR_SET_PDEATHSIG), so call this afterwards.
    """
    _check(_libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0))
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def punch_hole(descriptor: int, start: int, length: int) -> None:
    """Free a range of a file; its size stays the same (fallocate(2))."""
    mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    _check(_libc.fallocate(descriptor, mode, ctypes.c_long(start), ctypes.c_long(length)))


def boot_id() -> str:
    """Return the random id of this boot of the kernel, which containers share with their host."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def open_process(pid: int) -> int | None:
    """Open a pidfd (pidfd_open(2)); None if there is no such process.

    The number may be that of a thread, or of a session or group whose leader has ended. Which error
    says so depends on the kernel.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in {errno.ESRCH, errno.EINVAL, errno.ENOENT}:
            return None
        raise


def start_time(pid: int) -> int | None:
    """Return the start time of a process in 10 ms ticks since boot (proc(5)), None if gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the name, in parentheses, may itself contain spaces and parentheses
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def address_space() -> int:
    """Return the size of this process's address space in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def open_descriptors() -> "set[int]":
    """Return the open descriptors of this process."""
    descriptors = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            continue  # the descriptor of the listing itself
        descriptors.add(int(name))
    return descriptors


def close_all_but(*kept: int) -> None:
    """Close all other descriptors, which may have been inherited by accident."""
    for number in open_descriptors() - set(kept):
        os.close(number)


def children_of(pid: int) -> "list[int]":
    """Return the direct children of all threads of a process."""
    children: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                children += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return children


def descendants() -> Iterator[int]:
    """Yield the descendants of this process; may miss those just started or orphaned."""
    pending = children_of(os.getpid())
    while pending:
        pid = pending.pop()
        yield pid
        pending += children_of(pid)


def kill_descendants() -> None:
    """Kill and reap all descendants of this process.

    This process must be a subreaper: orphans of killed processes then become its children and are
    killed in the next round.
    """
    while True:
        pending = children_of(os.getpid())
        if not pending:
            break
        for pid in pending:
            pending += children_of(pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap_one_of_any()


def reap_one_of_any() -> None:
    """Wait for one child to exit, then reap all that have exited."""
    reap_ended(0)


def reap_ended(options: int = os.WNOHANG) -> None:
    """Reap all children that have exited; if `options` is 0, wait for the first one."""
    try:
        while os.waitpid(-1, options)[0]:
            options = os.WNOHANG
    except ChildProcessError:
        pass


def leave(code: int) -> None:
    """Exit immediately, even if buffered output cannot be written because the disk is full."""
    try:
        sys.stderr.flush()
    finally:
        os._exit(code)


# --- sandbox ----------------------------------------------------------------------------------


def unshare(flags: int) -> None:
    """Move to new namespaces (unshare(2))."""
    _check(_libc.unshare(flags))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system (mount(2)).

    Raises:
        OSError: the kernel refuses.
    """
    texts = [os.fsencode(text) for text in (source, target, kind)]
    try:
        _check(_libc.mount(*texts, ctypes.c_ulong(flags), os.fsencode(options)))
    except OSError as error:
        # without the path, which the job's owner must not see
        mounted = kind or ("a directory" if flags & MS_BIND else "propagation")
        raise OSError(error.errno, f"{error.strerror} (mounting {mounted})") from None


def unmount(target: str) -> None:
    """Detach a mount with all mounts below it (umount2(2), MNT_DETACH)."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH))


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and move the old root to `old` (pivot_root(2))."""
    system_call(PIVOT_ROOT[os.uname().machine], os.fsencode(new), os.fsencode(old))


def leave_session_keyring() -> None:
    """Replace the inherited session keyring, which may contain secrets, with an empty one.

    Does nothing if keyrings are unavailable, as in many containers.
    """
    _keyctl(KEYCTL_JOIN_SESSION_KEYRING, None)


def clear_user_keyrings() -> None:
    """Clear the keyrings of this user, which may contain keys of its earlier processes.

    These are the user keyring, the user session keyring and the persistent keyring. Call
    `leave_session_keyring` first: the persistent keyring is linked into the session keyring.
    """
    _keyctl(KEYCTL_CLEAR, KEY_SPEC_USER_KEYRING)
    _keyctl(KEYCTL_CLEAR, KEY_SPEC_USER_SESSION_KEYRING)
    persistent = _keyctl(KEYCTL_GET_PERSISTENT, -1, KEY_SPEC_SESSION_KEYRING)
    if persistent is not None:
        _keyctl(KEYCTL_CLEAR, persistent)
        _keyctl(KEYCTL_UNLINK, persistent, KEY_SPEC_SESSION_KEYRING)


def _keyctl(*arguments: Any) -> int | None:
    """Call keyctl(2) and return its result; None if the kernel has no such keyrings."""
    try:
        return system_call(KEYCTL[os.uname().machine], *arguments)
    except OSError as error:
        # EOPNOTSUPP: a kernel without persistent keyrings
        if error.errno not in {errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP}:
            raise
        return None


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns"))


def set_mount(path: str, attributes: int, *, recursive: bool = False) -> None:
    """Add attributes to a mount, and to mounts below it (mount_setattr(2), Linux 5.12)."""
    change = _MountAttributes(attributes, 0, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    size = ctypes.sizeof(change)
    system_call(MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, ctypes.byref(change), size)


def drop_capabilities() -> None:
    """Drop all capabilities; programs executed by a user other than root get none either."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()))


def drop_bounding_capabilities() -> None:
    """Prevent programs executed later from gaining capabilities (needs CAP_SETPCAP)."""
    capability = 0
    # the kernel reports the end of the list
    while _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if ctypes.get_errno() != errno.EINVAL:
        _check(-1)


def forbid_new_privileges() -> None:
    """Disable set-user-ID programs and file capabilities permanently (PR_SET_NO_NEW_PRIVS)."""
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def set_dumpable(dumpable: bool) -> None:
    """Allow or forbid processes of the same user to inspect this one (PR_SET_DUMPABLE)."""
    _check(_libc.prctl(PR_SET_DUMPABLE, int(dumpable), 0, 0, 0))
