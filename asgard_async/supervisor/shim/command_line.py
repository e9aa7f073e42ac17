"""The command line and environment of this process that other processes see (proc(5))."""

import ctypes
import os
import struct

ARG_START, ARG_END = 45, 46  # fields of /proc/self/stat, counted from the state
OTHER_FIELDS = (23, 24, 42, 43, 44)
"""In the order of struct prctl_mm_map: code, data, the start of the heap."""
START_STACK = 25
PR_SET_MM, PR_SET_MM_MAP = 35, 14
UNCHANGED = 0xFFFFFFFF

_libc = ctypes.CDLL(None)
_libc.malloc.restype = _libc.sbrk.restype = ctypes.c_void_p


def show_command_line(arguments: "list[str]") -> None:
    """Replace this process's visible command line, as far as its original length allows.

    The service finds keepers by their command line, and people find a job by its script.
    """
    fields = _stat()
    start, end = fields[ARG_START], fields[ARG_END]
    text = _joined(arguments)
    # the last byte must stay 0, or the kernel would continue to read into the environment
    size = end - start - 1
    ctypes.memmove(start, text[:size].ljust(size, b"\0"), size)


def show_start(arguments: "list[str]", environment: "dict[str, str]") -> None:
    """Replace the visible command line and environment, as if the process had started with them.

    This gives the kernel their new addresses, which requires CONFIG_CHECKPOINT_RESTORE but no
    privileges. Otherwise, the command line is padded with zeros and the environment is unchanged.
    """
    show_command_line(arguments)
    fields = _stat()
    command_line = _copy(_joined(arguments))
    variables = _copy(_joined([f"{name}={value}" for name, value in environment.items()]))
    addresses = [fields[number] for number in OTHER_FIELDS]
    addresses += [_libc.sbrk(0), fields[START_STACK], *command_line, *variables]
    no_vector = (0, 0)
    memory_map = struct.pack("@12QII", *addresses, *no_vector, UNCHANGED)
    _libc.prctl(PR_SET_MM, PR_SET_MM_MAP, memory_map, ctypes.c_ulong(len(memory_map)), 0)


def _stat() -> "list[int]":
    with open("/proc/self/stat", "rb") as file:
        stat = file.read()
    # the second field, a name in parentheses, may itself contain spaces and parentheses
    numbers = stat[stat.rindex(b")") + 2 :].split()[1:]
    return [0, *map(int, numbers)]


def _joined(texts: "list[str]") -> bytes:
    return b"".join(os.fsencode(text) + b"\0" for text in texts)


def _copy(text: bytes) -> "tuple[int, int]":
    """Copy text to memory that is never freed; return start and end."""
    start = _libc.malloc(ctypes.c_size_t(len(text) or 1))
    ctypes.memmove(start, text, len(text))
    return start, start + len(text)
