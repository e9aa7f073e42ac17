"""The main loop of keeper servers, which forks a keeper for each received specification.

Each message on the socket (SOCK_SEQPACKET) carries three descriptors (SCM_RIGHTS), which become the
keeper's 0, 1 and 2; the specification is read from the first. The server exits when the socket is
closed; its forked processes keep running. It has no threads.
"""

import gc
import os
import signal
import socket
import sys

from . import linux
from .command_line import show_command_line
from .keeper import keep
from .process_spec import SPEC, read_spec
from .script import Program

START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start.py")


def open_channel(descriptor: int) -> socket.socket:
    """Open the socket to the service; this process is killed when the service exits."""
    linux.close_all_but(0, 1, 2, descriptor)
    os.set_inheritable(descriptor, False)
    show_command_line([sys.executable, sys.argv[0]])
    # the socket is closed then, too, but this process does not notice while it is importing
    linux.signal_at_parents_death(signal.SIGKILL, os.getppid())
    return socket.socket(fileno=descriptor)


def serve_specs(channel: socket.socket, program: Program) -> None:
    """Fork a keeper for `program` with each specification; never returns.

    Raises:
        ScriptIsNext: in a job's process (see `keep`).
    """
    gc.freeze()  # a collection would write to shared memory
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # this process does not wait for keepers
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, len(SPEC), 3, socket.MSG_CMSG_CLOEXEC)
        if message != SPEC:
            os._exit(0)
        try:
            forked = os.fork()
        except OSError as error:
            # the service sees the descriptors closed and spawns the keeper itself
            sys.stderr.write(f"cannot fork a keeper: {error}\n")
            forked = -1
        if forked == 0:
            channel.detach()
            _become_keeper(descriptors, program)
        for received in descriptors:
            os.close(received)


def _become_keeper(descriptors: "list[int]", program: Program) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, received in enumerate(descriptors):
        os.dup2(received, number)
    spec = read_spec(0)
    show_command_line([sys.executable, "-I", "-S", START, spec["directory"]])
    keep(spec, program)
