"""The sandbox of a program: namespaces, a private file system, another user, Landlock.

The shim creates the namespaces and their first process (`init`). The job's process, cold or warm,
does the rest just before it runs its program.
"""

import os
import signal
import sys
from typing import TypedDict

from . import file_system, landlock, leftovers, linux, seccomp
from .command_line import show_command_line

TRUNCATION_ABI = 3
"""The first version of Landlock that restricts truncate(2). Namespaces do so as well."""


class SandboxSpec(TypedDict):
    """The sandbox of a program, as part of the service's specification."""

    namespaces: bool
    """True for new pid, mount and System V IPC namespaces, with `mounts`."""
    user_namespace: bool
    """True if these need a user namespace, in which the user stays the same."""
    mounts: "list[tuple[str, str, str, str]]"
    """The whole file system; see `file_system.build`."""
    uid: int
    """The user and group to switch to; -1 to stay the same."""
    landlock: "list[tuple[str, bool]]"
    """The only accessible paths if the kernel has Landlock, each with True if it is writable; empty
    for no restriction."""


class InitFailed(Exception):
    """The first process of the pid namespace exited immediately."""


def open_namespaces(sandbox: SandboxSpec) -> None:
    """Create a pid namespace for later children of this process, with a new init process.

    When init exits, the kernel kills all these children. Init exits when this process does.

    Raises:
        OSError: the kernel refuses.
        InitFailed: init exited immediately.
    """
    if sandbox["user_namespace"]:
        _open_user_namespace()
    linux.unshare(linux.CLONE_NEWPID)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    shim = os.getpid()
    if os.fork() == 0:
        os.close(reader)
        _be_init(writer, shim)
    os.close(writer)
    is_ready = os.read(reader, 1)
    os.close(reader)
    if not is_ready:
        raise InitFailed("the first process of the pid namespace exited at once")


def enter_sandbox(sandbox: SandboxSpec) -> None:
    """Confine this process irreversibly.

    Raises:
        OSError: the kernel refuses.
    """
    if sandbox["namespaces"]:
        linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWIPC)
        file_system.build(sandbox["mounts"])
    if sandbox["uid"] >= 0 or sandbox["user_namespace"]:
        linux.drop_bounding_capabilities()
    if sandbox["uid"] >= 0:
        os.setgroups([])
        os.setresgid(*[sandbox["uid"]] * 3)
        os.setresuid(*[sandbox["uid"]] * 3)
    linux.leave_session_keyring()
    if sandbox["uid"] >= 0:
        # earlier jobs had this user
        linux.clear_user_keyrings()
        if not sandbox["namespaces"]:
            leftovers.remove_leftovers()
    linux.drop_capabilities()
    linux.forbid_new_privileges()
    landlock.restrict(sandbox["landlock"])
    if sandbox["landlock"] and not sandbox["namespaces"] and 0 < landlock.abi() < TRUNCATION_ABI:
        seccomp.forbid_truncation_by_path()
    # A process that changes its user without executing a program cannot read its own /proc. This is
    # safe, because its memory contains no secrets of others.
    linux.set_dumpable(True)


def _open_user_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    # In a nested user namespace, a job would regain all capabilities and reach more of the kernel.
    # It could also use up the user's quota of namespaces, which other jobs need.
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")


def _be_init(ready: int, shim: int) -> None:
    """Run as init: reap orphans until the shim dies or kills this process."""
    try:
        signal.set_wakeup_fd(-1)
        # the kernel drops signals from inside the namespace that init does not handle
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        # close the copies of the shim's locks and logs, and replace its command line
        linux.close_all_but(ready)
        show_command_line(["asgard-init", str(shim)])
        # processes of the same user must not look outside through this process
        linux.set_dumpable(False)
        linux.drop_capabilities()
        linux.signal_at_parents_death(
            signal.SIGKILL, 0
        )  # a parent outside of the namespace has pid 0
        # fails if the shim has already died, since no other process reads from the pipe
        os.write(ready, b"!")
        os.close(ready)
        while True:
            signal.sigwait({signal.SIGCHLD})
            linux.reap_ended()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)
