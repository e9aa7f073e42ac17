"""Running a command in a sandbox and forwarding its output.

This module uses only the standard library.
"""

import os
import resource
import signal
import sys

from asgard_async.core.redaction import without_secrets
from asgard_async.supervisor.shim import linux
from asgard_async.supervisor.shim.sandbox import SandboxSpec, enter_sandbox, open_namespaces

LINE_BYTES = 1 << 16
MAX_PROCESSES = 4096
"""The maximum number of processes and threads of the build's user."""
ERROR_MARKS = ("error:", "×")
"""Prefixes of uv's error messages, which are at the end of its output."""
CANNOT_CONFINE = 125


def run(
    command: "list[str]",
    environment: "dict[str, str]",
    sandbox: "SandboxSpec | None",
    *,
    hide_errors: bool = False,
) -> int:
    """Run a command, forward its output line by line, and return its exit code.

    Processes that the command leaves behind are killed. This process must be a subreaper. With
    `hide_errors`, the reason for a failure is not shown.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    if (supervisor := os.fork()) == 0:
        _supervise(command, environment, sandbox, writer, parent)
    os.close(writer)
    is_hidden = False
    with open(reader, "rb") as output:
        while data := output.readline(LINE_BYTES):
            line = data.decode(errors="replace")
            is_hidden |= hide_errors and line.lstrip().startswith(ERROR_MARKS)
            if not is_hidden:
                print(without_secrets(line), end="", flush=True)  # noqa: T201  # to the log
    _, status = os.waitpid(supervisor, 0)
    linux.kill_descendants()  # in case the supervisor itself was killed
    return abs(os.waitstatus_to_exitcode(status))


def _supervise(
    command: "list[str]",
    environment: "dict[str, str]",
    sandbox: "SandboxSpec | None",
    output: int,
    parent: int,
) -> None:
    """Open the namespaces, wait for the command, and kill remaining processes; never returns.

    This runs in a separate process, because no process can leave a user namespace.
    """
    code = CANNOT_CONFINE
    try:
        linux.signal_at_parents_death(signal.SIGKILL, parent)
        linux.become_subreaper()
        os.dup2(output, 1)
        os.dup2(output, 2)
        if sandbox is not None and sandbox["namespaces"]:
            open_namespaces(sandbox)
        supervisor = os.getpid()
        if (pid := os.fork()) == 0:
            _execute(command, environment, sandbox, supervisor)
        _, status = os.waitpid(pid, 0)
        code = abs(os.waitstatus_to_exitcode(status))
        linux.kill_descendants()
    except BaseException as error:
        _report(error)
    finally:
        os._exit(code)


def _execute(
    command: "list[str]",
    environment: "dict[str, str]",
    sandbox: "SandboxSpec | None",
    supervisor: int,
) -> None:
    try:
        os.setsid()
        if sandbox is not None:
            if sandbox["uid"] >= 0 or sandbox["user_namespace"]:
                _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
                limit = min(MAX_PROCESSES, hard) if hard >= 0 else MAX_PROCESSES
                resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
            enter_sandbox(sandbox)
        has_namespaces = sandbox is not None and sandbox["namespaces"]
        linux.signal_at_parents_death(signal.SIGKILL, 0 if has_namespaces else supervisor)
        os.chdir(environment["HOME"])
        os.execve(command[0], command, environment)
    except BaseException as error:
        _report(error)
    finally:
        os._exit(CANNOT_CONFINE)


def _report(error: BaseException) -> None:
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    sys.stderr.write(f"error: cannot confine the build: {type(error).__name__}: {reason}\n")
    sys.stderr.flush()
