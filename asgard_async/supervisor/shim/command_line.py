"""The command line and the environment of a process, as others see them (proc(5))."""

import ctypes
import os
import struct

ARG_START, ARG_END = 45, 46  # fields of /proc/self/stat, counted from the state
OTHER_PLACES = (23, 24, 42, 43, 44)
"""In the order of struct prctl_mm_map: code, data, the start of the heap."""
START_STACK = 25
PR_SET_MM, PR_SET_MM_MAP = 35, 14
UNCHANGED = 0xFFFFFFFF

_libc = ctypes.CDLL(None)
_libc.malloc.restype = _libc.sbrk.restype = ctypes.c_void_p


def show_command_line(arguments: "list[str]") -> None:
    """Show `arguments` instead of what this process was started with, as far as there is room.

    Keepers are looked for by their command line; a person who looks for a job finds its script.
    """
    fields = _stat()
    start, end = fields[ARG_START], fields[ARG_END]
    text = _joined(arguments)
    # the last byte stays 0: any other would tell the kernel to read on in the environment
    room = end - start - 1
    ctypes.memmove(start, text[:room].ljust(room, b"\0"), room)


def show_start(arguments: "list[str]", environment: "dict[str, str]") -> None:
    """Show both, as if this process had been started so.

    The kernel is told of new places and lengths for them. That takes no privilege, but a kernel
    with CONFIG_CHECKPOINT_RESTORE; elsewhere the command line is followed by zeros, and the
    environment stays as it is.
    """
    show_command_line(arguments)
    fields = _stat()
    command_line = _place(_joined(arguments))
    variables = _place(_joined([f"{name}={value}" for name, value in environment.items()]))
    places = [fields[number] for number in OTHER_PLACES]
    places += [_libc.sbrk(0), fields[START_STACK], *command_line, *variables]
    no_vector = (0, 0)
    memory_map = struct.pack("@12QII", *places, *no_vector, UNCHANGED)
    _libc.prctl(PR_SET_MM, PR_SET_MM_MAP, memory_map, ctypes.c_ulong(len(memory_map)), 0)


def _stat() -> "list[int]":
    with open("/proc/self/stat", "rb") as file:
        stat = file.read()
    # the second field, a name in parentheses, may itself hold spaces and parentheses
    numbers = stat[stat.rindex(b")") + 2 :].split()[1:]
    return [0, *map(int, numbers)]


def _joined(texts: "list[str]") -> bytes:
    return b"".join(os.fsencode(text) + b"\0" for text in texts)


def _place(text: bytes) -> "tuple[int, int]":
    """Where it lies from now on, for as long as the process lives: start and end."""
    start = _libc.malloc(ctypes.c_size_t(len(text) or 1))
    ctypes.memmove(start, text, len(text))
    return start, start + len(text)
