"""Truncation by path, which Landlock before its third version does not restrict."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asgard_async.supervisor.shim import seccomp

FORBIDDEN = """
import ctypes, errno, mmap, os, struct, sys
from asgard_async.supervisor.shim import linux, seccomp
path = sys.argv[1]
linux.forbid_new_privileges()
seccomp.forbid_truncation_by_path()
def number(call):
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
"""
BY_PATH = """
print(number(lambda: os.truncate(path, 0)))
descriptor = os.open(path, os.O_RDWR)
print(number(lambda: os.truncate(f"/proc/self/fd/{descriptor}", 0)))
print(number(lambda: os.ftruncate(descriptor, 3)))
print(number(lambda: open(path, "w").close()))
for call in seccomp.TRUNCATE[os.uname().machine]:
    print(number(lambda: linux.system_call(call, os.fsencode(path), 0)))
"""
BY_32_BITS = """
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
MAP_32BIT = 0x40
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT
place = libc.mmap(None, 4096, 7, flags, -1, 0)
ctypes.memmove(place + 2048, os.fsencode(path) + b"\\0", len(path) + 1)
for call in seccomp.TRUNCATE_32:
    code = b"\\x53\\xb8" + struct.pack("<I", call)  # push rbx; mov eax, call
    code += b"\\xbb" + struct.pack("<I", place + 2048)  # mov ebx, path
    code += b"\\x31\\xc9\\x31\\xd2\\xcd\\x80\\x5b\\xc3"  # no size; int 0x80; pop rbx; ret
    ctypes.memmove(place, code, len(code))
    print(ctypes.CFUNCTYPE(ctypes.c_int)(place)())
"""

pytestmark = pytest.mark.skipif(
    os.uname().machine not in seccomp.SECCOMP, reason="no filter for this processor"
)


def tried(program: str, path: Path) -> subprocess.CompletedProcess[str]:
    path.write_text("content")
    return subprocess.run(
        [sys.executable, "-c", FORBIDDEN + program, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_only_truncation_by_path_is_refused(tmp_path: Path) -> None:
    done = tried(BY_PATH, tmp_path / "file")
    by_path, by_link, by_descriptor, by_opening, *by_number = done.stdout.split()
    assert (by_path, by_link) == ("EPERM", "EPERM"), done.stderr
    assert (by_descriptor, by_opening) == ("done", "done")
    assert {*by_number} == {"EPERM"}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="machine code of x86")
def test_calls_of_32_bits_are_refused(tmp_path: Path) -> None:
    done = tried(BY_32_BITS, tmp_path / "file")
    if done.returncode == -signal.SIGSEGV:
        pytest.skip("this kernel runs no programs of 32 bits")
    assert done.stdout.split() == ["-1", "-1"], done.stderr
    assert (tmp_path / "file").read_text() == "content"
