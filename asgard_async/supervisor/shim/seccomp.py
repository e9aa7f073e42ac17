"""A filter for the one system call that older versions of Landlock miss (seccomp(2)).

Landlock restricts truncate(2), which takes a path and needs no open file, since its third version
(Linux 6.2). Before that, a process could empty every file of its own user, also one that it can
neither see nor open.
"""

import ctypes
import errno
import os
import struct

from . import linux

SECCOMP = {"x86_64": 317, "aarch64": 277}
SET_MODE_FILTER = 1
SPEC_ALLOW = 1 << 2
"""Without it, older kernels turn off speculation for a process with a filter, and slow it down."""

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
TRUNCATE = {"x86_64": (76, 0x40000000 | 76), "aarch64": (45,)}
"""On x86-64 also in the numbering of x32."""
TRUNCATE_32 = (92, 193)
"""truncate and truncate64 in programs of 32 bits, x86 and Arm."""

LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER_AT, ARCHITECTURE_AT = 0, 4
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def forbid_truncation_by_path() -> None:
    """Make truncate(2) fail with EPERM in this process and its children; ftruncate(2) works.

    Does nothing on other processors. The caller must have set PR_SET_NO_NEW_PRIVS.

    Raises:
        OSError: the kernel has no filters.
    """
    machine = os.uname().machine
    if machine not in SECCOMP:
        return
    code = _filter(ARCHITECTURE[machine], TRUNCATE[machine])
    buffer = ctypes.create_string_buffer(code)
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    linux.system_call(SECCOMP[machine], SET_MODE_FILTER, SPEC_ALLOW, ctypes.byref(program))


def _filter(architecture: int, numbers: "tuple[int, ...]") -> bytes:
    native = [(LOAD, 0, 0, NUMBER_AT), *_refusing(numbers)]
    other = [(LOAD, 0, 0, NUMBER_AT), *_refusing(TRUNCATE_32)]
    instructions = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_IF_EQUAL, 0, len(native), architecture),
        *native,
        *other,
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)


def _refusing(numbers: "tuple[int, ...]") -> "list[tuple[int, int, int, int]]":
    """Compare with each number; the end is either answer."""
    count = len(numbers)
    jumps = [
        (JUMP_IF_EQUAL, count - position, 0, number) for position, number in enumerate(numbers)
    ]
    return [*jumps, (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
