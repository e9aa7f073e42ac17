"""The job's own process, between the fork and its program."""

import os
import resource
import signal
from typing import NamedTuple

from . import cgroup, linux
from .limits import restrict
from .process_spec import ProcessSpec
from .sandbox import enter_sandbox


class ScriptIsNext(BaseException):  # no error: it leads out of all that is ours
    """The script of an order is to be run in this process, when its stack is empty."""

    def __init__(self, spec: ProcessSpec) -> None:
        super().__init__()
        self.spec = spec


class Program:
    """What the job's process becomes."""

    descriptors: "tuple[int, ...]" = ()
    """What it needs open beside what the order says."""

    def prepare(self, spec: ProcessSpec) -> None:
        """Do what can be done before it is known that the job runs."""

    def run(self, spec: ProcessSpec) -> None:
        """Become the program; never returns."""
        raise NotImplementedError


class Executed(Program):
    """A program in an interpreter of its own."""

    def run(self, spec: ProcessSpec) -> None:
        """Execute it."""
        os.execve(spec["argv"][0], spec["argv"], spec["environment"])


class Ends(NamedTuple):
    """The job's ends of the pipes between it and the shim."""

    gate: int
    """A byte comes when it is known durably that the job runs."""
    output: int
    failure: int
    """For the reason why the program cannot be run."""


def run_job(
    spec: ProcessSpec, program: Program, shim: int, ends: Ends, procs_fds: "list[int]"
) -> None:
    """Become the job: wait behind the gate, then run its program; never returns.

    Raises:
        ScriptIsNext: the program is to be run in this process.
    """
    try:
        os.setsid()
        # while the shim writes pid.json: the kernel may take 10 ms over the first of them
        cgroup.enter(procs_fds)
        signal.set_wakeup_fd(-1)
        # what Python ignores or the shim handles must not be inherited by the program
        for number in (*signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},):
            if signal.getsignal(number) not in {signal.SIG_DFL, None}:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(ends.output, 1)
        os.dup2(ends.output, 2)
        _set_resource_limits(spec)
        for descriptor in spec["inherit"]:
            os.set_inheritable(descriptor, True)
        if (sandbox := spec.get("sandbox")) is not None:
            enter_sandbox(sandbox)
        os.chdir(spec["working_directory"])
        os.umask(spec["umask"])
        # in a pid namespace the shim is called 0: should it be dead already, init is, too
        parent = 0 if sandbox is not None and sandbox["namespaces"] else shim
        linux.signal_at_parents_death(signal.SIGKILL, parent)
        program.prepare(spec)
        if os.read(ends.gate, 1) != b"!":
            os._exit(1)  # the shim died before it could tell of this process
        program.run(spec)
    except ScriptIsNext:
        raise
    except BaseException as error:
        try:
            # without the path that it names: the owner of the job reads this
            what = (isinstance(error, OSError) and error.strerror) or str(error)
            os.write(ends.failure, f"{type(error).__name__}: {what}".encode()[:4096])
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
