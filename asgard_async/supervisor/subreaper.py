"""Reaping the orphans that the service inherits when a keeper dies before its shim."""

import asyncio
import os
import signal

from asgard_async.supervisor.shim import linux


def adopt_orphans() -> None:
    """Become a child subreaper and reap every child that exits.

    Nothing depends on being a parent: pidfds report when a process exits. Call this only in the
    service's own process, since it takes children away from any other library.
    """
    linux.become_subreaper()
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, _reap_all)


def _reap_all() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
