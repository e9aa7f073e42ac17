"""A minimal binding of inotify(7): events for changes in a directory."""

import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

IN_MODIFY = 0x2
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000

_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """An event for the file `name` in the directory with the number `watch`."""

    watch: int
    mask: int
    name: str


def open_inotify() -> int:
    """Open a new non-blocking inotify descriptor.

    Raises:
        OSError: the user has too many instances (fs.inotify.max_user_instances).
    """
    return _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))


def add_watch(descriptor: int, directory: str, mask: int) -> int:
    """Watch a directory and return the watch's number, which is the same for repeated calls.

    Raises:
        FileNotFoundError: there is no such directory.
        OSError: the user has too many watches (fs.inotify.max_user_watches).
    """
    path = os.fsencode(directory)
    return _checked(
        _libc.inotify_add_watch(descriptor, path, ctypes.c_uint32(mask | IN_ONLYDIR)), directory
    )


def remove_watch(descriptor: int, watch: int) -> None:
    """Stop watching a directory; do nothing if the directory is gone."""
    _libc.inotify_rm_watch(descriptor, watch)


def read_events(descriptor: int) -> Iterator[Event]:
    """Yield the events since the last call."""
    try:
        buffer = os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return
    position = 0
    while position < len(buffer):
        watch, mask, _, length = _EVENT.unpack_from(buffer, position)
        position += _EVENT.size
        name = buffer[position : position + length].rstrip(b"\0")
        position += length
        yield Event(watch=watch, mask=mask, name=os.fsdecode(name))


def _checked(result: int, name: str | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result
