"""The few Linux facts that the standard library does not offer."""

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
"""As setpriority(2) counts."""
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
KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_CLEAR = 1, 7
KEY_SPEC_USER_KEYRING = -4
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
    """Call the kernel; what it returns.

    Raises:
        OSError: it refuses.
    """
    result: int = _libc.syscall(ctypes.c_long(number), *map(_as_long, arguments))
    if result < 0:
        _check(result)
    return result


def _as_long(argument: Any) -> Any:
    # a plain int would be passed as one of 32 bits
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def become_subreaper() -> None:
    """Adopt the orphans of all descendants (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def signal_at_parents_death(number: int, parent: int) -> None:
    """Have the kernel send `number` when `parent` dies; sent by hand if it is dead already.

    `setuid` and the like clear this (prctl(2), PR_SET_PDEATHSIG): call it after them.
    """
    _check(_libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0))
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def punch_hole(descriptor: int, start: int, length: int) -> None:
    """Give a range of a file back to the file system; its size stays (fallocate(2))."""
    mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    _check(_libc.fallocate(descriptor, mode, ctypes.c_long(start), ctypes.c_long(length)))


def boot_id() -> str:
    """A random name of this boot of the kernel (a container has its host's)."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_time(pid: int) -> int | None:
    """When a process started, in ticks of 10 ms since boot (proc(5)); None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the name, in parentheses, may itself hold spaces and parentheses
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def address_space() -> int:
    """Bytes that this process has mapped."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def open_descriptors() -> "set[int]":
    """The descriptors that this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            continue  # the listing's own
        found.add(int(name))
    return found


def close_all_but(*kept: int) -> None:
    """Close what was inherited without being meant, from whoever started the service."""
    for number in open_descriptors() - set(kept):
        os.close(number)


def children_of(pid: int) -> "list[int]":
    """The direct children of a process, of all its threads."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def descendants() -> Iterator[int]:
    """The processes below this one; some are missed that are being started or orphaned."""
    pending = children_of(os.getpid())
    while pending:
        pid = pending.pop()
        yield pid
        pending += children_of(pid)


def kill_descendants() -> None:
    """Kill everything below this process and reap it, until nothing is left.

    Needs a subreaper: an orphan of what was killed then comes here and is met in the next round.
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
    """Wait for one child to end, then take all that have ended."""
    reap_ended(0)


def reap_ended(options: int = os.WNOHANG) -> None:
    """Take all children that have ended; with 0, wait for a first one."""
    try:
        while os.waitpid(-1, options)[0]:
            options = os.WNOHANG
    except ChildProcessError:
        pass


def leave(code: int) -> None:
    """End this process at once. Nothing that is left to say may hinder it: it would be said to a
    file, whose disk may be full."""
    try:
        sys.stderr.flush()
    finally:
        os._exit(code)


# --- walls ------------------------------------------------------------------------------------


def unshare(flags: int) -> None:
    """Leave namespaces for new ones (unshare(2))."""
    _check(_libc.unshare(flags))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    texts = [os.fsencode(text) for text in (source, target, kind)]
    try:
        _check(_libc.mount(*texts, ctypes.c_ulong(flags), os.fsencode(options)))
    except OSError as error:
        # without the path: the owner of the job reads this
        what = kind or ("a directory" if flags & MS_BIND else "propagation")
        raise OSError(error.errno, f"{error.strerror} (mounting {what})") from None


def unmount(target: str) -> None:
    """Take away a mount with all below it (umount2(2), MNT_DETACH)."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH))


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root; the old one is found at `old` (pivot_root(2))."""
    system_call(PIVOT_ROOT[os.uname().machine], os.fsencode(new), os.fsencode(old))


def leave_session_keyring() -> None:
    """Get an empty session keyring instead of the inherited one, in which there may be secrets.

    Nothing happens where there are none, or none for us, as in many containers.
    """
    _keyctl(KEYCTL_JOIN_SESSION_KEYRING, None)


def clear_user_keyring() -> None:
    """Remove what earlier processes of this user left in the keyring that all of them have."""
    _keyctl(KEYCTL_CLEAR, KEY_SPEC_USER_KEYRING)


def _keyctl(*arguments: Any) -> None:
    try:
        system_call(KEYCTL[os.uname().machine], *arguments)
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EPERM, errno.EACCES}:
            raise


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns"))


def set_mount(path: str, attributes: int, *, recursive: bool = False) -> None:
    """Add attributes to a mount, and to those below it (mount_setattr(2), Linux 5.12)."""
    wanted = _MountAttributes(attributes, 0, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    size = ctypes.sizeof(wanted)
    system_call(MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, ctypes.byref(wanted), size)


def drop_capabilities() -> None:
    """Give up all capabilities; what a user other than root executes later gets none either."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()))


def drop_bounding_capabilities() -> None:
    """Let nothing that is executed later gain a capability (needs CAP_SETPCAP)."""
    capability = 0
    # there is an end, which the kernel tells
    while _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if ctypes.get_errno() != errno.EINVAL:
        _check(-1)


def forbid_new_privileges() -> None:
    """No set-user-ID program or file capability counts any more, for good."""
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def set_dumpable(dumpable: bool) -> None:
    """Whether processes of the same user may look into this one (prctl(2), PR_SET_DUMPABLE)."""
    _check(_libc.prctl(PR_SET_DUMPABLE, int(dumpable), 0, 0, 0))
