"""The listening sockets that systemd passes to the service."""

import os
import socket
from collections.abc import MutableMapping, Sequence

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


def sockets_from_systemd(environment: MutableMapping[str, str]) -> Sequence[socket.socket]:
    """Return the listening sockets that systemd has passed to this process (sd_listen_fds(3)).

    Removes the variables, which child processes must not see.
    """
    is_addressee = environment.pop("LISTEN_PID", "") == str(os.getpid())
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if not is_addressee or not count.isdecimal():
        return ()
    sockets = []
    for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)):
        os.set_inheritable(number, False)
        sock = socket.socket(fileno=number)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets
