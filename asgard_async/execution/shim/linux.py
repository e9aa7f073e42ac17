"""The few Linux facts that the standard library does not offer."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


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
    options = 0
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
