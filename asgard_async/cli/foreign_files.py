"""Files that one user reads and another one stores, each in a process of that user.

Root can back up another user's data directory to a place that this user cannot reach. A child
process that has become the user opens the files and sends their descriptors; this process writes
the copies. So neither has more rights in a directory than the directory's owner.
"""

import array
import contextlib
import os
import socket
from collections.abc import Callable, Generator, Iterator

from asgard_async.core.files.ownership import become, is_foreign
from asgard_async.core.files.regular import checked_regular

OpenFiles = Callable[[], Generator[tuple[str, int], None, None]]
"""Yields names and descriptors of open files, which it closes."""


class NotSent(Exception):
    """The other process failed; the text says why."""


@contextlib.contextmanager
def opened_by(uid: int, open_files: OpenFiles) -> Iterator[Iterator[tuple[str, int]]]:
    """Run a function in a child process as a user; yield the files that it opens.

    Each descriptor is closed before the next file is received.

    Raises:
        NotSent: while the files are received: the child failed.
    """
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with receiver, sender:
        if (child := os.fork()) == 0:
            receiver.close()
            _send(uid, open_files, sender)
        sender.close()
        try:
            yield _received(receiver)
        finally:
            receiver.close()  # ends a child that is still sending
            os.waitpid(child, 0)


def _received(channel: socket.socket) -> Iterator[tuple[str, int]]:
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 1 << 16, 1)
        if message == b"end":
            return
        if not descriptors:
            raise NotSent(message.decode(errors="replace") or "the reading process ended early")
        name = os.fsdecode(message)
        descriptor = checked_regular(descriptors[0], name)
        try:
            yield name, descriptor
        finally:
            os.close(descriptor)


def _send(uid: int, open_files: OpenFiles, channel: socket.socket) -> None:
    try:
        if is_foreign(uid):
            become(uid)
        with contextlib.closing(open_files()) as files:
            for name, descriptor in files:
                channel.sendmsg(
                    [os.fsencode(name)],
                    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))],
                )
        channel.send(b"end")
    except BaseException as error:
        with contextlib.suppress(OSError):
            channel.send((str(error) or type(error).__name__).encode()[: 1 << 12])
    finally:
        os._exit(0)
