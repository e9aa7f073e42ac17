"""The job's own process, between the fork and its program."""

import os
import resource
import signal
from typing import NamedTuple

from . import cgroup, linux
from .limits import restrict
from .process_spec import Order
from .sandbox import shut_in


class ScriptIsNext(BaseException):  # no error: it leads out of all that is ours
    """The script of an order is to be run in this process, when its stack is empty."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        self.order = order


class Program:
    """What the job's process becomes."""

    descriptors: "tuple[int, ...]" = ()
    """What it needs open beside what the order says."""

    def prepare(self, order: Order) -> None:
        """Do what can be done before it is known that the job runs."""

    def run(self, order: Order) -> None:
        """Become the program; never returns."""
        raise NotImplementedError


class Executed(Program):
    """A program in an interpreter of its own."""

    def run(self, order: Order) -> None:
        """Execute it."""
        os.execve(order["argv"][0], order["argv"], order["environment"])


class Ends(NamedTuple):
    """The job's ends of the pipes between it and the shim."""

    gate: int
    """A byte comes when it is known durably that the job runs."""
    output: int
    failure: int
    """For the reason why the program cannot be run."""


def run_job(order: Order, program: Program, shim: int, ends: Ends, doors: "list[int]") -> None:
    """Become the job: wait behind the gate, then run its program; never returns.

    Raises:
        ScriptIsNext: the program is to be run in this process.
    """
    try:
        os.setsid()
        # while the shim writes pid.json: the kernel may take 10 ms over the first of them
        cgroup.enter(doors)
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
        _set_resource_limits(order)
        for descriptor in order["inherit"]:
            os.set_inheritable(descriptor, True)
        if (walls := order.get("walls")) is not None:
            shut_in(walls)
        os.chdir(order["working_directory"])
        os.umask(order["umask"])
        # in a pid namespace the shim is called 0: should it be dead already, init is, too
        parent = 0 if walls is not None and walls["namespaces"] else shim
        linux.signal_at_parents_death(signal.SIGKILL, parent)
        program.prepare(order)
        if os.read(ends.gate, 1) != b"!":
            os._exit(1)  # the shim died before it could tell of this process
        program.run(order)
    except ScriptIsNext:
        raise
    except BaseException as error:
        try:
            # without the path that it names: the owner of the job reads this
            what = (isinstance(error, OSError) and error.strerror) or str(error)
            os.write(ends.failure, f"{type(error).__name__}: {what}".encode()[:4096])
        finally:
            os._exit(127)


def _set_resource_limits(order: Order) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if order["open_files"]:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (order["open_files"], hard))
    if order["memory_limit"]:
        resource.setrlimit(resource.RLIMIT_AS, (order["memory_limit"],) * 2)
    if (limits := order.get("limits")) is not None:
        restrict(limits)
