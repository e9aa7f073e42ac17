"""Reaping what the service inherits when a keeper dies before its shim."""

import asyncio
import os
import signal

from asgard_async.supervisor.shim import linux


def adopt_orphans() -> None:
    """Become a child subreaper and reap every child that ends.

    Nothing relies on being a parent: ends are learned from pidfds. To be called by the service's
    own process alone; it would take the children of any other library away from it.
    """
    linux.become_subreaper()
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, _reap_all)


def _reap_all() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
