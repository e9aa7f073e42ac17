"""Compiles modules: `python -I -S compile_program.py DIRECTORY DONE PARENT NICENESS UID`.

DONE is a file to create once all modules that can be compiled are compiled. UID is the user to
compile as; -1 for this process's own user.

None of the environment's code runs, but its sources are untrusted: a few kilobytes can make the
compiler use gigabytes, all the time there is, or all of its stack. So a worker without any
permissions compiles the sources that this process sends to it, within limits on memory and time.
The program is killed when PARENT exits: jobs work without bytecode, only more slowly. It uses only
the standard library.
"""

import os
import resource
import signal
import stat
import sys
import time
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER, cache_from_source

# the directory of the package, last on the path: it is site-packages if Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from asgard_async.environments.compile_worker import MAX_SOURCE_BYTES, Worker
from asgard_async.supervisor.shim import linux

MEMORY_BYTES = 512 << 20
"""Address space of this process, and of its worker."""
MAX_SECONDS = 1800.0
"""Time limit for an environment."""
MAX_FAILURES = 32
"""Number of modules at which the worker may die before the rest is left uncompiled."""
MAX_DEPTH = 64
"""Directories nested deeper than this contain no modules that anyone imports."""
MAX_BYTES = 2 << 30
"""Total size of the bytecode."""


def main() -> None:
    """Compile modules without bytecode, skipping those that cannot be compiled."""
    directory, done, parent, niceness, uid = sys.argv[1:]
    linux.signal_at_parents_death(signal.SIGKILL, int(parent))
    os.nice(int(niceness))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    memory = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    _compile_all(directory, Worker(int(uid)))
    with open(done, "a"):
        pass


def _compile_all(directory: str, worker: Worker) -> None:
    deadline = time.monotonic() + MAX_SECONDS
    written = 0
    try:
        for path in _modules_below(directory, MAX_DEPTH):
            if time.monotonic() > deadline or worker.failures > MAX_FAILURES or written > MAX_BYTES:
                return
            try:
                written += _compile(path, worker)
            except OSError:
                continue  # the disk is full, or the file is gone
    finally:
        worker.stop()


def _modules_below(directory: str, depth: int) -> Iterator[str]:
    """Yield the paths of modules, with memory for no more than one branch of the tree."""
    try:
        entries = os.scandir(directory)
    except OSError:  # not accessible, or the path is too long
        return
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if depth and entry.name != "__pycache__":
                    yield from _modules_below(entry.path, depth - 1)
            elif entry.name.endswith(".py") and entry.is_file(follow_symlinks=False):
                yield entry.path


def _compile(path: str, worker: Worker) -> int:
    """Compile a module unless its bytecode is current; return the bytecode's size."""
    source, status = _read(path, MAX_SOURCE_BYTES + 1)
    if len(source) > MAX_SOURCE_BYTES:
        return 0
    modified_at = int(status.st_mtime) & 0xFFFF_FFFF
    header = b"".join(
        (
            MAGIC_NUMBER,
            bytes(4),  # checked against the source's modification time and size
            modified_at.to_bytes(4, "little"),
            len(source).to_bytes(4, "little"),
        )
    )
    bytecode = cache_from_source(path)
    try:
        if _read(bytecode, len(header))[0] == header:
            return 0
    except OSError:
        pass  # there is none yet
    code = worker.compile(path, source)
    if not code:
        return 0
    _write(bytecode, header + code)
    return len(code)


def _read(path: str, size: int) -> "tuple[bytes, os.stat_result]":
    """Read the start of a regular file.

    Raises:
        OSError: there is no such file, or it is something else.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        return file.read(size), status


def _write(path: str, content: bytes) -> None:
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        os.mkdir(directory)
        os.chmod(directory, 0o755)  # noqa: S103  # jobs may run as other users
    temporary = f"{path}.new"
    try:
        # a package can contain this name: written to, the file would change in uv's cache as well,
        # and in other environments that have it from there
        os.unlink(temporary)
    except FileNotFoundError:
        pass
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as f:
        os.fchmod(f.fileno(), 0o644)
        f.write(content)
    os.rename(temporary, path)


if __name__ == "__main__":
    main()
