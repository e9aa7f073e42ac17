"""A process without permissions that compiles untrusted sources, one at a time.

This module uses only the standard library.
"""

import encodings
import marshal
import os
import resource
import select
import signal
import struct
import time
import warnings
from importlib import import_module
from importlib.machinery import SourceFileLoader
from typing import NoReturn

from asgard_async.supervisor.shim import linux
from asgard_async.supervisor.shim.sandbox import SandboxSpec, enter_sandbox

MAX_SOURCE_BYTES = 4 << 20
MAX_CODE_BYTES = 64 << 20
CPU_SECONDS = 20
"""CPU time for one module; the largest that are in use take less than two seconds."""
ANSWER_SECONDS = 600.0
"""Time limit for one module on a busy machine."""
CHUNK_BYTES = 1 << 16
LENGTHS = struct.Struct("<II")
"""A request: the lengths of path and source, which follow."""
LENGTH = struct.Struct("<I")
"""A response: the length of the marshalled code, which follows; 0 if there is none."""
COMMON_ENCODINGS = ("ascii", "cp1252", "iso8859_15", "latin_1", "utf_8_sig")


class WorkerDied(Exception):
    """The worker exceeded a limit, or the source crashed the compiler."""


class Worker:
    """Compiles sources in a process that is started when needed, and replaced when it dies."""

    def __init__(self, uid: int) -> None:
        self._uid = uid
        self._pid = 0
        self._requests = self._responses = -1
        self.failures = 0
        """The number of sources at which the process died."""

    def compile(self, path: str, source: bytes) -> bytes:
        """Return a module's marshalled code; empty if it cannot be compiled."""
        try:
            if not self._pid:
                self._start()
            name = os.fsencode(path)
            self._send(LENGTHS.pack(len(name), len(source)) + name + source)
            deadline = time.monotonic() + ANSWER_SECONDS
            (length,) = LENGTH.unpack(self._receive(LENGTH.size, deadline))
            if length > MAX_CODE_BYTES:
                raise WorkerDied
            return self._receive(length, deadline)
        except (WorkerDied, BrokenPipeError):
            self.failures += 1
            self.stop()
            return b""

    def stop(self) -> None:
        """Kill the process, if there is one."""
        if not self._pid:
            return
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._requests)
        os.close(self._responses)
        self._pid = 0

    def _start(self) -> None:
        request_reader, self._requests = os.pipe2(os.O_CLOEXEC)
        self._responses, response_writer = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        if (pid := os.fork()) == 0:
            _work(request_reader, response_writer, parent, self._uid)
        self._pid = pid
        os.close(request_reader)
        os.close(response_writer)

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._requests, view) :]

    def _receive(self, size: int, deadline: float) -> bytes:
        content = bytearray()
        poll = select.poll()
        poll.register(self._responses, select.POLLIN)
        while len(content) < size:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise WorkerDied
            chunk = os.read(self._responses, min(CHUNK_BYTES, size - len(content)))
            if not chunk:
                raise WorkerDied
            content += chunk
        return bytes(content)


def _work(requests: int, responses: int, parent: int, uid: int) -> NoReturn:
    """Compile what is requested until the end of the requests."""
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        linux.close_all_but(0, 1, 2, requests, responses)
        for name in COMMON_ENCODINGS:
            import_module(f"encodings.{name}")
        enter_sandbox(_sandbox(uid))
        linux.signal_at_parents_death(signal.SIGKILL, parent)
        for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC):
            resource.setrlimit(kind, (0, 0))
        warnings.simplefilter("ignore")
        with os.fdopen(requests, "rb") as source, os.fdopen(responses, "wb") as target:
            while header := source.read(LENGTHS.size):
                lengths = LENGTHS.unpack(header)
                path, text = (source.read(length) for length in lengths)
                code = _compiled(os.fsdecode(path), text)
                target.write(LENGTH.pack(len(code)) + code)
                target.flush()
    finally:
        os._exit(1)


def _compiled(path: str, source: bytes) -> bytes:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(usage.ru_utime + usage.ru_stime) + 1 + CPU_SECONDS
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    try:
        return marshal.dumps(SourceFileLoader("module", path).source_to_code(source, path))
    except MemoryError:
        os._exit(1)  # the next source gets a process whose memory is not fragmented
    except Exception:
        return b""


def _sandbox(uid: int) -> SandboxSpec:
    # the only files that the compiler may need: those of rare source encodings
    standard_library = os.path.dirname(os.path.dirname(encodings.__file__))
    return SandboxSpec(
        namespaces=False,
        user_namespace=False,
        mounts=[],
        uid=uid,
        landlock=[(standard_library, False)],
    )
