"""Reaping of orphans, which the service inherits when a keeper dies before its shim."""

import asyncio
import os
import signal

from asgard_async.supervisor.shim import linux


def adopt_orphans() -> None:
    """Become a child subreaper and reap every child that exits.

    The service never waits for its children, because pidfds report when a process exits. Call this
    only in the service's own process: it also reaps children that other libraries may wait for.
    """
    linux.become_subreaper()
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, _reap_all)


def _reap_all() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
