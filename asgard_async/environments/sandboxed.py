"""Runs a command within walls, and shows what it prints. Standard library alone."""

import os
import resource
import signal
import sys

from asgard_async.core.redaction import without_secrets
from asgard_async.supervisor.shim import linux
from asgard_async.supervisor.shim.sandbox import SandboxSpec, enter_sandbox, open_namespaces

LINE_BYTES = 1 << 16
MOST_PROCESSES = 4096
"""Of a user that nobody else is: threads of all that a build runs at once."""
ERROR_MARKS = ("error:", "×")
"""How uv begins the end of its output when it fails."""
CANNOT_SHUT_IN = 125


def run(
    command: "list[str]",
    environment: "dict[str, str]",
    sandbox: "SandboxSpec | None",
    *,
    holds_back_errors: bool = False,
) -> int:
    """Run a command, pass on what it prints, line by line, and kill what it leaves; its exit code.

    This process is a subreaper. With `holds_back_errors`, why it failed is not shown.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    if (warden := os.fork()) == 0:
        _ward(command, environment, sandbox, writer, parent)
    os.close(writer)
    is_held_back = False
    with open(reader, "rb") as output:
        while data := output.readline(LINE_BYTES):
            line = data.decode(errors="replace")
            is_held_back |= holds_back_errors and line.lstrip().startswith(ERROR_MARKS)
            if not is_held_back:
                print(without_secrets(line), end="", flush=True)  # noqa: T201  # to the log
    _, status = os.waitpid(warden, 0)
    linux.kill_descendants()  # should it have come to harm itself
    return abs(os.waitstatus_to_exitcode(status))


def _ward(
    command: "list[str]",
    environment: "dict[str, str]",
    sandbox: "SandboxSpec | None",
    output: int,
    parent: int,
) -> None:
    """Open the namespaces, wait for the command, and kill what is left of it; never returns.

    A process of its own, since there is no way back from a user namespace.
    """
    code = CANNOT_SHUT_IN
    try:
        linux.signal_at_parents_death(signal.SIGKILL, parent)
        linux.become_subreaper()
        os.dup2(output, 1)
        os.dup2(output, 2)
        if sandbox is not None and sandbox["namespaces"]:
            open_namespaces(sandbox)
        warden = os.getpid()
        if (pid := os.fork()) == 0:
            _become(command, environment, sandbox, warden)
        _, status = os.waitpid(pid, 0)
        code = abs(os.waitstatus_to_exitcode(status))
        linux.kill_descendants()
    except BaseException as error:
        _say(error)
    finally:
        os._exit(code)


def _become(
    command: "list[str]", environment: "dict[str, str]", sandbox: "SandboxSpec | None", warden: int
) -> None:
    try:
        os.setsid()
        if sandbox is not None:
            if sandbox["uid"] >= 0 or sandbox["user_namespace"]:
                _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
                most = min(MOST_PROCESSES, hard) if hard >= 0 else MOST_PROCESSES
                resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
            enter_sandbox(sandbox)
        is_boxed = sandbox is not None and sandbox["namespaces"]
        linux.signal_at_parents_death(signal.SIGKILL, 0 if is_boxed else warden)
        os.chdir(environment["HOME"])
        os.execve(command[0], command, environment)
    except BaseException as error:
        _say(error)
    finally:
        os._exit(CANNOT_SHUT_IN)


def _say(error: BaseException) -> None:
    what = (isinstance(error, OSError) and error.strerror) or str(error)
    sys.stderr.write(f"error: the build could not be shut in: {type(error).__name__}: {what}\n")
    sys.stderr.flush()
