"""What a program is shut in with: namespaces, a file system of its own, another user, Landlock.

The shim makes the namespaces and the process that leads them (`init`). The job's process goes
through the rest by itself, cold and warm alike, just before it becomes its program.
"""

import os
import signal
import sys
from typing import TypedDict

from . import file_system, landlock, linux
from .command_line import show_command_line


class SandboxSpec(TypedDict):
    """How a program is shut in. It comes with the order, worked out by the service."""

    namespaces: bool
    """Whether it gets processes, mounts and System V IPC of its own, and with them `mounts`."""
    user_namespace: bool
    """Whether a user namespace is needed for that, in which the user stays who he is."""
    mounts: "list[tuple[str, str, str, str]]"
    """Its whole file system, see `file_system.build`."""
    uid: int
    """The user (and group) that it becomes; -1 to stay the same."""
    landlock: "list[tuple[str, bool]]"
    """The only paths that it reaches, and whether for writing, where the kernel has Landlock;
    none for all."""


class InitFailed(Exception):
    """The first process of the namespace ended at once."""


def open_namespaces(sandbox: SandboxSpec) -> None:
    """Let the children of this process live in a pid namespace of their own, led by an init.

    When init ends, the kernel kills all of them; it ends with this process.

    Raises:
        OSError, InitFailed: the kernel refuses.
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
        raise InitFailed("the first process of its namespace ended at once")


def enter_sandbox(sandbox: SandboxSpec) -> None:
    """Shut this process in; there is no way back.

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
        linux.clear_user_keyring()  # jobs have had this user before
    linux.leave_session_keyring()
    linux.drop_capabilities()
    linux.forbid_new_privileges()
    landlock.restrict(sandbox["landlock"])
    # With its user, a process that is not executed loses the sight of its own /proc. What it holds
    # in its memory is its own.
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
    # Or a job would get all capabilities back in one of its own, with what the kernel offers to
    # them, and could use up those of the user, which other jobs need.
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")


def _be_init(ready: int, shim: int) -> None:
    """Reap orphans until the shim dies, or kills this process."""
    try:
        signal.set_wakeup_fd(-1)
        # before all else is blocked; the kernel lets nobody in the namespace send it what it
        # does not wait for
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        # not a copy of the shim's locks and logs, nor of its name
        linux.close_all_but(ready)
        show_command_line(["asgard-init", str(shim)])
        # what has the same user must not look through it at the world outside
        linux.set_dumpable(False)
        linux.drop_capabilities()
        linux.signal_at_parents_death(signal.SIGKILL, 0)  # a parent outside is called 0
        # raises if the shim has died before: nobody else reads
        os.write(ready, b"!")
        os.close(ready)
        while True:
            signal.sigwait({signal.SIGCHLD})
            linux.reap_ended()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)
