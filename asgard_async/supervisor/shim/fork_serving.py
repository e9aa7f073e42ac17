"""A fork server: an interpreter with preloaded modules, which forks a keeper for each job.

Messages on its socket before the first specification (see keeper_forking.py):

    service → server   marshalled settings, once
    server → service   marshalled facts about the imported modules, once the server is ready
"""

import marshal
import os
import sys
from typing import Any

from . import linux
from .ending import Ending
from .interpreter import ForkedInterpreter
from .keeper_forking import open_channel, serve_specs
from .preloading import Preloaded, preload
from .process_spec import MESSAGE_BYTES


def serve(descriptor: int, pristine: "dict[str, Any]") -> None:
    """Import the modules requested by the service, then fork on request; never returns.

    `pristine` is the initial content of a script's `__main__`.

    Raises:
        ScriptIsNext: in a job's process. `sys.excepthook` then runs the script.
    """
    channel = open_channel(descriptor)
    settings: dict[str, Any] = marshal.loads(channel.recv(MESSAGE_BYTES))  # noqa: S302
    os.chdir(settings["working_directory"])
    _write_to(settings["log"])
    ending = Ending()
    preloaded = _preload(settings["preload"])
    opened = tuple(linux.open_descriptors() - {0, 1, 2, descriptor})
    interpreter = ForkedInterpreter(preloaded, pristine, opened)
    ending.share()
    channel.send(marshal.dumps(_facts(preloaded), 2))
    serve_specs(channel, interpreter)


def _preload(names: "list[str]") -> Preloaded:
    """Import modules, at the lowest priority if it can be raised again before jobs inherit it."""
    priority = os.getpriority(os.PRIO_PROCESS, 0)
    may_return = _may_return_to(priority)
    if may_return:
        os.setpriority(os.PRIO_PROCESS, 0, linux.LOWEST_PRIORITY)
    preloaded = preload(names)
    # Linear algebra libraries start threads on import and stop them before a fork. This slows down
    # the first fork, so it is done here.
    _wait_for(_fork_to(lambda: None))
    if may_return:
        os.setpriority(os.PRIO_PROCESS, 0, priority)
    return preloaded


def _may_return_to(priority: int) -> bool:
    """Return whether the priority can be raised again, by trying it in a child process."""

    def lower_and_raise() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, linux.LOWEST_PRIORITY)
        os.setpriority(os.PRIO_PROCESS, 0, priority)

    return _wait_for(_fork_to(lower_and_raise)) == 0


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
    """Redirect the output of imports to the log, without replacing the stream objects."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.close(descriptor)


def _facts(preloaded: Preloaded) -> "dict[str, Any]":
    return {
        "packages": sorted(preloaded.packages),
        "modules": sorted(
            {name for name in sys.modules if "." not in name} - {"__main__", "asgard_async"}
        ),
        "variables": sorted(preloaded.variables_read),
        "failed": preloaded.failed,
        "seconds": preloaded.seconds,
        "address_space": linux.address_space(),
    }
