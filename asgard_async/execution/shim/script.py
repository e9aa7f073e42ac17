"""The job's own process, between fork and exec."""

import os
import resource
import signal

from . import linux
from .order import Order


def run_job(order: Order, shim: int, gate: int, output: int, failure: int) -> None:
    """Become the job: wait behind the gate, then execute its program; never returns."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        # what Python ignores or the shim handles must not be inherited by the program
        for number in (*signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},):
            if signal.getsignal(number) not in {signal.SIG_DFL, None}:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if order["memory_limit"]:
            resource.setrlimit(resource.RLIMIT_AS, (order["memory_limit"],) * 2)
        for descriptor in order["inherit"]:
            os.set_inheritable(descriptor, True)
        os.chdir(order["working_directory"])
        os.umask(order["umask"])
        linux.signal_at_parents_death(signal.SIGKILL, shim)
        if os.read(gate, 1) != b"!":
            os._exit(1)  # the shim died before it could tell of this process
        os.execve(order["argv"][0], order["argv"], order["environment"])
    except BaseException as error:
        # without the path that it names: the owner of the job reads this
        what = (isinstance(error, OSError) and error.strerror) or str(error)
        os.write(failure, f"{type(error).__name__}: {what}".encode()[:4096])
    finally:
        os._exit(127)
