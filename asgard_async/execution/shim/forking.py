"""A fork server: an interpreter with its imports done, which forks a keeper for every order.

It speaks with the service over a socket of whole messages (SOCK_SEQPACKET):

    service → server   marshalled settings, once
    server → service   marshalled facts: that it is ready, and what it has imported
    service → server   an order: its three descriptors (SCM_RIGHTS) become the keeper's 0, 1 and 2

The end of the socket ends the server, not what it has forked. It has no thread of its own.
"""

import gc
import marshal
import os
import signal
import socket
import sys
from typing import Any

from . import linux
from .command_line import show_command_line
from .ending import Ending
from .interpreter import ForkedInterpreter
from .keeper import keep
from .order import MESSAGE_BYTES, ORDER, read_order
from .preloading import Preloaded, preload

LOWEST_PRIORITY = 19
START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start.py")


def serve(descriptor: int, pristine: "dict[str, Any]") -> None:
    """Import what the service names, then fork on request; never returns.

    `pristine` is what a script finds in `__main__`.

    Raises:
        ScriptIsNext: in a job's process. `sys.excepthook` then runs the script.
    """
    linux.close_all_but(0, 1, 2, descriptor)
    os.set_inheritable(descriptor, False)
    show_command_line([sys.executable, sys.argv[0]])
    # the service's end is seen on the socket, too, but not while this one is importing
    linux.signal_at_parents_death(signal.SIGKILL, os.getppid())
    channel = socket.socket(fileno=descriptor)
    settings: dict[str, Any] = marshal.loads(channel.recv(MESSAGE_BYTES))  # noqa: S302
    os.chdir(settings["working_directory"])
    _write_to(settings["log"])
    ending = Ending()
    preloaded = _preload(settings["preload"])
    opened = tuple(linux.open_descriptors() - {0, 1, 2, descriptor})
    interpreter = ForkedInterpreter(preloaded, pristine, opened)
    ending.share()
    gc.freeze()  # a collection would write to memory that is shared
    channel.send(marshal.dumps(_facts(preloaded), 2))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are nobody's to wait for
    while True:
        message, descriptors, _, _ = socket.recv_fds(
            channel, len(ORDER), 3, socket.MSG_CMSG_CLOEXEC
        )
        if message != ORDER:
            os._exit(0)
        try:
            forked = os.fork()
        except OSError as error:
            # the service sees the descriptors closed and starts the job cold
            sys.stderr.write(f"a keeper could not be forked: {error}\n")
            forked = -1
        if forked == 0:
            channel.detach()
            _become_keeper(descriptors, interpreter)
        for received in descriptors:
            os.close(received)


def _become_keeper(descriptors: "list[int]", interpreter: ForkedInterpreter) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, received in enumerate(descriptors):
        os.dup2(received, number)
    order = read_order(0)
    show_command_line([sys.executable, "-I", "-S", START, order["directory"]])
    keep(order, interpreter)


def _preload(names: "list[str]") -> Preloaded:
    """Import at the lowest priority, if there is a way back from it: jobs inherit it."""
    priority = os.getpriority(os.PRIO_PROCESS, 0)
    may_return = _may_return_to(priority)
    if may_return:
        os.setpriority(os.PRIO_PROCESS, 0, LOWEST_PRIORITY)
    preloaded = preload(names)
    # Libraries of linear algebra start threads when imported, and end them before a fork: the
    # first one costs more.
    _wait_for(_fork_to(lambda: None))
    if may_return:
        os.setpriority(os.PRIO_PROCESS, 0, priority)
    return preloaded


def _may_return_to(priority: int) -> bool:
    """Whether the priority can be raised again; a child tries it."""

    def there_and_back() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, LOWEST_PRIORITY)
        os.setpriority(os.PRIO_PROCESS, 0, priority)

    return _wait_for(_fork_to(there_and_back)) == 0


def _fork_to(work: Any) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def _wait_for(child: int) -> int:
    return os.waitpid(child, 0)[1]


def _write_to(log: str) -> None:
    """Let what imports print go to the log; the objects for it are those of a script's start."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.close(descriptor)


def _facts(preloaded: Preloaded) -> "dict[str, Any]":
    return {
        "packages": sorted(preloaded.packages),
        "modules": sorted({name for name in sys.modules if "." not in name} - {"__main__", "shim"}),
        "variables": sorted(preloaded.variables_read),
        "failed": preloaded.failed,
        "seconds": preloaded.seconds,
        "address_space": linux.address_space(),
    }
