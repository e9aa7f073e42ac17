"""The job's process, from the fork to the start of its program."""

import os
import resource
import signal
from typing import NamedTuple

from . import cgroup, linux
from .limits import restrict
from .process_spec import ProcessSpec
from .sandbox import enter_sandbox


class ScriptIsNext(BaseException):  # not an error: it unwinds all of Asgard's code
    """The interpreter must run the script in this process, once the stack is empty."""

    def __init__(self, spec: ProcessSpec) -> None:
        super().__init__()
        self.spec = spec


class Program:
    """The program that the job's process becomes."""

    descriptors: "tuple[int, ...]" = ()
    """Descriptors that must stay open, besides those in the specification."""

    def prepare(self, spec: ProcessSpec) -> None:
        """Prepare the process, before the start of the job is recorded."""

    def run(self, spec: ProcessSpec) -> None:
        """Run the program in this process; never returns."""
        raise NotImplementedError


class Executed(Program):
    """A program in a new interpreter."""

    def run(self, spec: ProcessSpec) -> None:
        """Execute the program."""
        os.execve(spec["argv"][0], spec["argv"], spec["environment"])


class JobPipes(NamedTuple):
    """The job's ends of the pipes between job and shim."""

    gate: int
    """The job reads a byte from it once its start is durably recorded."""
    output: int
    failure: int
    """The job writes the reason to it if the program cannot be run."""


def run_job(
    spec: ProcessSpec, program: Program, shim: int, pipes: JobPipes, procs_fds: "list[int]"
) -> None:
    """Run as the job: wait for the gate to open, then run the program; never returns.

    Raises:
        ScriptIsNext: the interpreter must run the program in this process.
    """
    try:
        os.setsid()
        # now, while the shim writes pid.json, since the kernel may take 10 ms for this
        cgroup.enter(procs_fds)
        signal.set_wakeup_fd(-1)
        # the program must not inherit signals that Python ignores or the shim handles
        for number in (*signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},):
            if signal.getsignal(number) not in {signal.SIG_DFL, None}:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(pipes.output, 1)
        os.dup2(pipes.output, 2)
        _set_resource_limits(spec)
        for descriptor in spec["inherit"]:
            os.set_inheritable(descriptor, True)
        if (sandbox := spec.get("sandbox")) is not None:
            enter_sandbox(sandbox)
        os.chdir(spec["working_directory"])
        os.umask(spec["umask"])
        # the shim has pid 0 in a pid namespace; if it is dead, so is init
        parent = 0 if sandbox is not None and sandbox["namespaces"] else shim
        linux.signal_at_parents_death(signal.SIGKILL, parent)
        program.prepare(spec)
        if os.read(pipes.gate, 1) != b"!":
            os._exit(1)  # the shim died before it recorded this process
        program.run(spec)
    except ScriptIsNext:
        raise
    except BaseException as error:
        try:
            # without the path in the error, which the job's owner must not see
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            os.write(pipes.failure, f"{type(error).__name__}: {reason}".encode()[:4096])
        finally:
            os._exit(127)


def _set_resource_limits(spec: ProcessSpec) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if spec["open_files"]:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (spec["open_files"], hard))
    if spec["memory_limit"]:
        resource.setrlimit(resource.RLIMIT_AS, (spec["memory_limit"],) * 2)
    if (limits := spec.get("limits")) is not None:
        restrict(limits)
