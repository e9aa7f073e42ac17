"""Starts of processes that do not depend on the service's session, signals and descriptors."""

import os
import signal
from collections.abc import Mapping, Sequence

RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM)


def spawn(
    command: Sequence[str], environment: Mapping[str, str], descriptors: Mapping[int, int] = {}
) -> int:
    """Start a process in its own session; return its pid.

    `descriptors` maps its descriptor numbers to descriptors of this process. Those of 0 to 2 that
    are not given are /dev/null.

    Raises:
        OSError: the process cannot be started.
    """
    null = (os.devnull, os.O_RDWR, 0)
    # posix_spawn, not fork: no copy of this process's page tables
    return os.posix_spawn(
        command[0],
        list(command),
        environment,
        file_actions=[
            *((os.POSIX_SPAWN_DUP2, fd, number) for number, fd in descriptors.items()),
            *((os.POSIX_SPAWN_OPEN, fd, *null) for fd in range(3) if fd not in descriptors),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=RESET_SIGNALS,
    )
