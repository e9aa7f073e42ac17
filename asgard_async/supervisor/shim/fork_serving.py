"""A fork server: an interpreter with its imports done, which forks a keeper for every order.

What it says over its socket before it takes orders (see forked_keepers.py):

    service → server   marshalled settings, once
    server → service   marshalled facts: that it is ready, and what it has imported
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
    """Import what the service names, then fork on request; never returns.

    `pristine` is what a script finds in `__main__`.

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
    """Import at the lowest priority, if there is a way back from it: jobs inherit it."""
    priority = os.getpriority(os.PRIO_PROCESS, 0)
    may_return = _may_return_to(priority)
    if may_return:
        os.setpriority(os.PRIO_PROCESS, 0, linux.LOWEST_PRIORITY)
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
        os.setpriority(os.PRIO_PROCESS, 0, linux.LOWEST_PRIORITY)
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
        "modules": sorted(
            {name for name in sys.modules if "." not in name} - {"__main__", "asgard_async"}
        ),
        "variables": sorted(preloaded.variables_read),
        "failed": preloaded.failed,
        "seconds": preloaded.seconds,
        "address_space": linux.address_space(),
    }
