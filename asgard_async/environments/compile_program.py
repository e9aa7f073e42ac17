"""Compiles modules: `python -I -S compile_program.py DIRECTORY DONE PARENT PLAN`.

DONE is a file to create once all modules that can be compiled are compiled, PLAN a JSON object with
the fields of `Plan`.

Many environments contain the same packages as the service's own. Their bytecode is copied if the
sources are equal, which takes a tenth of the time. Only the service's own environment is trusted
for this: a package that took over the compiler would otherwise change the bytecode of others.

None of the environment's code runs, but its sources are untrusted: a few kilobytes can make the
compiler use gigabytes, all the time there is, or all of its stack. So a worker without any
permissions compiles the sources that this process sends to it, within limits on memory and time.
The program is killed when PARENT exits: jobs work without bytecode, only more slowly. It uses only
the standard library.
"""

import json
import os
import resource
import signal
import stat
import sys
import time
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER, cache_from_source
from itertools import islice
from typing import NamedTuple, TypedDict

# the directory of the package, last on the path: it is site-packages if Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from asgard_async.environments.compile_worker import MAX_CODE_BYTES, MAX_SOURCE_BYTES, Worker
from asgard_async.supervisor.shim import linux

MEMORY_BYTES = 512 << 20
"""Address space of this process, and of its worker."""
MAX_FAILURES = 32
"""Number of modules at which the worker may die before the rest is left uncompiled."""
MAX_DEPTH = 64
"""Directories nested deeper than this contain no modules that anyone imports."""
MAX_BYTES = 2 << 30
"""Total size of the bytecode."""
OUT_OF_TIME = 3
"""Exit code of a process that has compiled only some of its modules."""


class Plan(TypedDict):
    """Instructions for one compilation."""

    niceness: int
    uid: int
    """The user to compile as; -1 for this process's own user."""
    seconds: float
    """The time limit."""
    is_final: bool
    """True if modules that are not compiled by then are left uncompiled for good."""
    processes: int
    own_packages: str
    """The service's site-packages, whose bytecode is trusted."""


class Header(NamedTuple):
    """The start of a bytecode file, which is valid for a source of this time and size."""

    modified_at: int
    size: int

    def encode(self) -> bytes:
        fields = (0, self.modified_at & 0xFFFF_FFFF, self.size)
        return MAGIC_NUMBER + b"".join(field.to_bytes(4, "little") for field in fields)


def main() -> None:
    """Compile modules without bytecode, skipping those that cannot be compiled."""
    directory, done, parent, encoded = sys.argv[1:]
    plan: Plan = json.loads(encoded)
    deadline = time.monotonic() + plan["seconds"]
    linux.signal_at_parents_death(signal.SIGKILL, int(parent))
    os.nice(plan["niceness"])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    memory = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # All processes use the same user: whatever they compile is part of the same environment.
    children = [
        _fork_compiler(directory, plan, number, deadline) for number in range(plan["processes"])
    ]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if plan["is_final"] or not any(codes):
        with open(done, "a"):
            pass


def _fork_compiler(directory: str, plan: Plan, number: int, deadline: float) -> int:
    """Compile a share of the modules in a child process; return its pid."""
    parent = os.getpid()
    if (child := os.fork()) != 0:
        return child
    code = 1
    try:
        linux.signal_at_parents_death(signal.SIGKILL, parent)
        modules = islice(_modules_below(directory, MAX_DEPTH), number, None, plan["processes"])
        own_packages = OwnPackages(plan["own_packages"], directory)
        is_complete = _compile_all(modules, Worker(plan["uid"]), own_packages, deadline)
        code = 0 if is_complete else OUT_OF_TIME
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _compile_all(
    modules: Iterator[str], worker: Worker, own_packages: "OwnPackages", deadline: float
) -> bool:
    """Compile modules; return False if there was not enough time for all of them."""
    written = 0
    try:
        for path in modules:
            if time.monotonic() > deadline:
                return False
            if worker.failures > MAX_FAILURES or written > MAX_BYTES:
                break
            try:
                written += _compile(path, worker, own_packages)
            except OSError:
                continue  # the disk is full, or the file is gone
        return True
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


class OwnPackages:
    """The service's own packages, as a source of bytecode."""

    def __init__(self, directory: str, modules: str) -> None:
        """`directory` is the service's site-packages, `modules` that of the environment."""
        self._directory = directory
        self._prefix = f"{modules}/{os.path.basename(os.path.dirname(directory))}/site-packages/"

    def code_of(self, path: str, source: bytes) -> bytes:
        """Return the marshalled code of a module; empty if the service has no equal module."""
        if not path.startswith(self._prefix):
            return b""
        own_path = f"{self._directory}/{path.removeprefix(self._prefix)}"
        try:
            own_source, status = _read(own_path, len(source) + 1)
            if own_source != source:
                return b""
            header = Header(int(status.st_mtime), len(source)).encode()
            bytecode, _ = _read(cache_from_source(own_path), len(header) + MAX_CODE_BYTES)
        except OSError:
            return b""
        return bytecode.removeprefix(header) if bytecode.startswith(header) else b""


def _compile(path: str, worker: Worker, own_packages: OwnPackages) -> int:
    """Compile a module unless its bytecode is current; return the bytecode's size."""
    source, status = _read(path, MAX_SOURCE_BYTES + 1)
    if len(source) > MAX_SOURCE_BYTES:
        return 0
    header = Header(int(status.st_mtime), len(source)).encode()
    bytecode = cache_from_source(path)
    try:
        if _read(bytecode, len(header))[0] == header:
            return 0
    except OSError:
        pass  # there is none yet
    code = own_packages.code_of(path, source) or worker.compile(path, source)
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
        try:
            os.mkdir(directory)
        except FileExistsError:
            pass  # another process was quicker
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
