"""The `asgard` command, forked from a process that has imported it.

Short commands take most of their time to import Asgard. Use `tests.support.asgard_command` where
the start of the interpreter matters.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from asgard_async.cli import main
from tests.support.asgard_command import DEADLINE_SECONDS, environment

SERVES = "import sys, tests.support.preloaded_command as c; c.serve(int(sys.argv[1])); c.run()"
MAX_REQUEST = 1 << 17


def asgard(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command until it exits, with only these settings in its environment."""
    assert not any(name.startswith(("PYTHON", "LANG", "LC_")) for name in environ)
    given = [str(argument) for argument in arguments]
    request = json.dumps([given, environment(**environ), str(Path.cwd())])
    with (
        Path(os.devnull).open("rb") as nothing,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        code = _exit_code_of(request.encode(), nothing, stdout, stderr)
        return subprocess.CompletedProcess(given, code, _text(stdout), _text(stderr))


def _exit_code_of(request: bytes, *streams: IO[bytes]) -> int:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            descriptors = [*(stream.fileno() for stream in streams), theirs.fileno()]
            socket.send_fds(_server(), [request], descriptors)
        ours.settimeout(DEADLINE_SECONDS)
        pid = int(ours.recv(64))
        try:
            return int(ours.recv(64))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()


@functools.cache
def _server() -> socket.socket:
    """The socket of this process's server, which ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVES, str(theirs.fileno())],
            cwd=Path(__file__).parents[2],
            env=environment(),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def close() -> None:
        ours.close()
        server.terminate()
        server.wait()

    atexit.register(close)
    return ours


def serve(descriptor: int) -> None:
    """Fork a process for each request; return in it with the environment of the command."""
    for name in (name for section in main.COMMANDS.values() for name in section):
        importlib.import_module(f"asgard_async.cli.commands.{name}")
    gc.freeze()
    channel = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, MAX_REQUEST, 4)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            channel.close()
            _begin(request, descriptors)
            return
        for received in descriptors:
            os.close(received)


def _begin(request: bytes, descriptors: list[int]) -> None:
    """Return in a process for the command, whose pid and exit code are reported."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reply = socket.socket(fileno=descriptors.pop())
    if (pid := os.fork()) != 0:
        reply.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        reply.send(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    reply.close()
    for number, received in enumerate(descriptors):
        os.dup2(received, number)
        os.close(received)
    arguments, variables, directory = json.loads(request)
    sys.argv = ["asgard", *arguments]
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(directory)


def run() -> None:
    """Run the command, as `python -m asgard_async` does."""
    main.main(prog_name="asgard")
